"""W and W+ by hand: what a state says of a generator's latents, and the widgets around it."""

from dataclasses import replace

import pytest
import torch

from xfer.errors import BadValue
from xfer.explorer import LatentExplorer, LatentState
from xfer.explorer.latent_panel import LatentPanel
from xfer.stylegan2.generator import Generator, GeneratorConfig
from xfer.stylegan2.sampling import draw, z_from_seeds

START = LatentState(seed=3, other_seed=4)


@pytest.fixture(scope="module")
def explorer():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(8, 8, 8, 1, channel_base=64, channel_max=8)).eval()
    generator.w_mean.copy_(generator.estimate_w_mean(200)[0])
    return LatentExplorer(generator)


def test_a_state_without_more_is_the_random_person(explorer):
    torch.testing.assert_close(
        explorer.view(START), draw(explorer.generator, [3], psi=0.7).clamp(-1, 1)
    )


def test_a_mix_ends_at_the_other_person(explorer):
    other = explorer.view(replace(START, seed=4))
    torch.testing.assert_close(explorer.view(replace(START, mix=1.0)), other)


def test_styles_out_of_the_range_stay_the_persons(explorer):
    own = explorer.latents(START)
    state = replace(START, mix=1.0, components={0: 2.0}, layers=(1, 2))
    moved = explorer.latents(state) != own
    assert moved.any(2)[0].tolist() == [False, True, True, False]


def test_a_component_is_as_long_as_w_is_wide_along_it(explorer):
    axes = explorer.components
    lengths = axes.norm(dim=1)
    assert (lengths[:-1] >= lengths[1:]).all()
    with torch.no_grad():
        w = explorer.generator.mapping(z_from_seeds(range(10_000, 12_000), 8))
    along = (w - w.mean(0)) @ (axes / lengths[:, None]).T
    torch.testing.assert_close(along.std(0)[:4], lengths[:4], rtol=0.1, atol=0)
    assert sum(explorer.shares) == pytest.approx(1)


def test_truncation_does_not_shorten_components(explorer):
    state = replace(START, psi=0.0, components={0: 1.5})
    away = explorer.latents(state) - explorer.generator.w_mean
    torch.testing.assert_close(away[0, 0], 1.5 * explorer.components[0], rtol=1e-4, atol=1e-5)


def test_a_component_that_is_not_there_is_told(explorer):
    with pytest.raises(BadValue, match="there are 8 components; got number 9"):
        explorer.view(replace(START, components={9: 1.0}))


def test_a_state_goes_to_json_and_back(tmp_path):
    state = LatentState(5, 6, 0.25, layers=(1, 3), components={2: -1.0})
    assert LatentState.load(state.save(tmp_path / "s.json")) == state


def test_every_widget_changes_the_picture(explorer):
    panel = LatentPanel(explorer)
    changes = {
        "seed": 4, "psi": 0.4, "mix": 0.5, "other_seed": 9, "component 0": 2.0, "layers": (0, 1),
    }  # fmt: skip
    for name, value in changes.items():
        before = panel.picture.value
        panel.inputs[name].value = value
        assert panel.picture.value != before, name


def test_widgets_and_state_say_the_same(explorer):
    state = replace(START, psi=0.5, layers=(1, 2), components={1: -1.2})
    assert LatentPanel(explorer, state).state == state


def test_errors_stand_on_the_page(explorer, monkeypatch):
    panel = LatentPanel(explorer)
    before = panel.picture.value
    monkeypatch.setattr(explorer, "view", lambda state: explorer.latents(replace(state, psi=2.0)))
    panel.inputs["seed"].value = 5
    assert "alert" in panel.message.value and "psi is between 0 and 1" in panel.message.value
    assert panel.picture.value == before


def test_a_row_is_reset_alone(explorer):
    panel = LatentPanel(explorer, replace(START, components={0: 1.0}, layers=(0, 2)))
    panel.page.children[1].children[1].children[-1].click()
    assert panel.state == START


def test_a_state_that_does_not_fit_is_refused(explorer):
    wrong = replace(START, seed=2_000_000, layers=(0, 4), components={8: 1.0, 0: 3.5})
    told = "no component 8 .*seed is .*1000000; got 2000000; layers is .*component 0 is between"
    with pytest.raises(BadValue, match=told):
        LatentPanel(explorer, wrong)
