"""`python -m ftkit.studies 00`: one lesson's recorded experiments anew."""

import sys

from ftkit.shared import shared_folder
from ftkit.studies import bitfit, distill_record, freezing_record, lora, multitask_record, sparse_record, transfer

STUDIES = {
    "00": (transfer, "00_transfer.json"),
    "01": (freezing_record, "01_freezing.parquet"),
    "02": (lora, "02_lora.parquet"),
    "04": (bitfit, "04_bitfit.parquet"),
    "05": (sparse_record, "05_sparse.parquet"),
    "06": (distill_record, "06_distillation.parquet"),
    "07": (multitask_record, "07_multitask.parquet"),
}

if __name__ == "__main__":
    asked = sys.argv[1]
    if asked not in STUDIES:
        sys.exit(f"LESSON must be one of {', '.join(STUDIES)}, got {asked}")
    study, name = STUDIES[asked]
    study.main(shared_folder("data", "results", name))
