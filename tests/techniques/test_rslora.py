"""rsLoRA alone; the laws of all relatives of LoRA are in test_lora_family.py."""

import math

import pytest
from helpers.lora_relatives import losses

from ftkit.techniques.lora import LoRA
from ftkit.techniques.rslora import RsLoRA


class TestRsLoRA:
    @pytest.mark.parametrize("rank", [1, 4, 9])
    def test_at_one_rank_it_is_lora_with_another_alpha(self, rank: int) -> None:
        assert RsLoRA(rank, alpha=3.0).scale == 3 / math.sqrt(rank)
        assert losses(RsLoRA(rank, alpha=3.0)) == losses(LoRA(rank, alpha=3.0 * math.sqrt(rank)))
