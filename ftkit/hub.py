"""Whether the Hugging Face hub has a dataset or a model: one short try before any download."""

SECONDS = 5
"""How long the hub may take to answer."""


def why_not(name: str, kind: str) -> str:
    """Return why `name` cannot be had from the hub; "" if it can.

    The libraries that download try again and again, for 24 seconds in all, when a name is
    misspelt or there is no network. With HF_HUB_OFFLINE=1 nothing is asked, because then they read
    their cache alone.

    Args:
        name: an id such as "owner/name".
        kind: "dataset" or "model".
    """
    from huggingface_hub import HfApi, constants, errors

    if constants.HF_HUB_OFFLINE:
        return ""
    try:
        HfApi().repo_info(name, repo_type=kind, timeout=SECONDS)
    except errors.GatedRepoError:
        return f"the hub gives this {kind} only to those who have accepted its terms"
    except errors.RepositoryNotFoundError:
        return f"the hub has no public {kind} of that name"
    except errors.HFValidationError:
        return "this can be no name on the hub"
    except Exception as error:
        return (
            f"the hub cannot be reached: {(str(error).splitlines() or [type(error).__name__])[0]}"
        )
    return ""
