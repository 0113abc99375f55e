"""What the pages of docs say of the records: asked for by name, and true."""

import pytest

pytest.importorskip("matplotlib", reason="experiments need recurrax[experiments]")

from experiments import facts, rendering


def test_a_page_that_asks_for_a_fact_that_there_is_not_is_told():
    with pytest.raises(ValueError, match="allowed: finding, first"):
        rendering.rendered("It is <!-- nonsense --><!-- end -->.")
    with pytest.raises(ValueError, match="has 0 findings"):
        rendering.rendered("It is <!-- finding claims: Nothing like it --><!-- end -->.")
    with pytest.raises(ValueError, match="begins a line"):
        rendering.rendered("It is\n<!-- reach copy RNN -->2<!-- end -->.")


def test_what_the_pages_say_around_the_numbers_holds():
    """Sentences of docs/understand that would be wrong if the records changed."""
    assert float(facts.flow("tanh RNN")) < 1 > float(facts.flow("GRU"))  # at the start the error vanishes
    assert float(facts.flow("LSTM, forget bias 0")) < float(facts.flow("LSTM, forget bias 1")) < 1
    assert facts.reach("copy GRU") == facts.reach("copy LSTM") and facts.reach("adding GRU") == facts.reach(
        "adding LSTM"
    )
    assert int(facts.reach("copy RNN")) < int(facts.reach("copy LSTM"))
    assert facts.arrives("RNN").startswith("10^-") and facts.arrives("LSTM").endswith("%")
    assert all(row.split("|")[-2].strip().startswith("0 of") for row in facts.clipping().splitlines()[2:])
    assert float(facts.explodes("tanh, orthogonal")) > 1  # a spectral radius above 1 is not enough
    learnt = next(row.split("|")[2:] for row in facts.comparison().splitlines() if "updates to learn" in row)
    assert int(learnt[2]) < int(learnt[1])  # the GRU in fewer updates than the LSTM


@pytest.mark.parametrize("text", ["<!-- finding a > b -->\n<!-- end -->\n", "nothing before <!-- end -->"])
def test_a_block_that_nobody_would_fill_is_refused(text):
    with pytest.raises(ValueError, match="blocks; allowed: as many"):
        rendering.rendered(text)
