"""The cards of cards.json: which of them a driver's name means, and that their figures hold together."""

import pytest

from tinycnn.devices.checks import compile_gate
from tinycnn.devices.gpu import cards
from tinycnn.devices.gpu.cards import UnknownCard

CARDS = list(cards.all_cards().values())
EVERY_CARD = pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)


@pytest.mark.parametrize(
    "name, meant",
    {
        "Tesla T4": "t4",
        "NVIDIA A100-SXM4-40GB": "a100-40gb",
        "NVIDIA A100-PCIE-40GB": "a100-40gb",
        "NVIDIA A100 80GB PCIe": "a100-pcie",
        "NVIDIA A100-SXM4-80GB": "a100",
        "NVIDIA L4": "l4",
        "NVIDIA L40S": "l40s",
        "NVIDIA GeForce RTX 4090": "rtx4090",
        "NVIDIA H100 PCIe": "h100-pcie",
        "NVIDIA H100 NVL": "h100-nvl",
        "NVIDIA H100 80GB HBM3": "h100",
        "NVIDIA H200": "h200",
        "NVIDIA H200 NVL": "h200-nvl",
    }.items(),
)
def test_a_card_is_known_by_the_name_that_the_driver_gives_it(name, meant):
    assert cards.called(name).id == meant and cards.get(name) is cards.get(meant)


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA T400",
        "NVIDIA L40",
        "NVIDIA RTX A1000",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA GH200 480GB",
    ],
)
def test_a_card_with_a_similar_name_is_another_card(name):
    assert cards.called(name) is None


@EVERY_CARD
def test_the_data_sheets_rate_is_that_of_the_lanes_at_the_boost_clock(card):
    assert card.float32 == pytest.approx(2 * card.lanes * card.multiprocessors * card.clock, rel=0.01)


@EVERY_CARD
def test_a_cards_limits_are_those_of_hardware(card):
    assert card.shared_of_a_block + card.reserved == card.shared <= 256 * 1024
    assert card.threads in (1024, 1536, 2048) and card.registers == 64 * 1024 and card.blocks <= 32
    assert card.l2 < card.memory and card.source


@EVERY_CARD
def test_every_kernel_is_compiled_for_the_architecture_of_every_card(card):
    assert card.arch in compile_gate.ARCHITECTURES


def test_an_unknown_card_is_refused_with_the_nearest_name_and_all_of_them():
    with pytest.raises(UnknownCard, match=r"'h20'; did you mean 'h200'\?.*\bt4\b.*\brtx4090\b"):
        cards.get("h20")


def test_a_card_that_no_table_has_is_made_of_what_cuda_says_of_it():
    said = {"MultiProcessorCount": 10, "ClockRate": 10**6, "MemoryClockRate": 5 * 10**6}
    said |= {"GlobalMemoryBusWidth": 128, "L2CacheSize": 2**20}
    made = cards.of_attributes("NVIDIA Some GPU", said, (8, 6))
    assert (made.id, made.arch, made.l2) == ("nvidia-some-gpu", "sm_86", 2**20)
    assert (made.float32, made.bandwidth, made.tf32) == (2 * 128 * 10 * 1e9, 160e9, None)
    assert (made.threads, made.blocks, made.shared) == (1536, 16, 100 * 1024)
    assert cards.of_attributes("NVIDIA Some GPU", said, (9, 5)).threads == 2048  # as of 9.0
