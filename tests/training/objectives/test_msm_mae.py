"""MSM-MAE's objective against the authors' mask, latent, prediction, loss and gradients."""

import pytest
import torch
from torch import Tensor

from hear_audioformer.msm_mae import Config, MsmMae
from tests.test_golden_msm_mae import CONFIG, GOLDEN, close, model, state_dict
from training.objectives.msm_mae import MsmMaeObjective, Painted

NAMES = (("attention_norm", "norm1"), ("attention.qkv", "attn.qkv"), ("attention.out", "attn.proj"))
NAMES += (("mlp_norm", "norm2"), ("mlp.up", "mlp.fc1"), ("mlp.down", "mlp.fc2"))


def objective(norm_pix: bool = CONFIG["norm_pix_loss"]) -> MsmMaeObjective:
    """The golden's autoencoder, decoder included."""
    state = state_dict("full")
    made = MsmMaeObjective(
        model("full"),
        mask_ratio=CONFIG["mask_ratio"],
        width=CONFIG["decoder_embed_dim"],
        depth=CONFIG["decoder_depth"],
        heads=CONFIG["decoder_num_heads"],
        table="2-D" if CONFIG["decoder_pos_embed_2d"] else "1-D",
        norm_pix=norm_pix,
        fresh=False,
    )
    ours: dict[str, Tensor] = {f"encoder.{name}": tensor for name, tensor in made.encoder.state_dict().items()}
    for name in made.state_dict():
        if not name.startswith("encoder."):
            ours[name] = state[upstream(name)]
    made.load_state_dict(ours)
    return made


def upstream(name: str) -> str:
    """The authors' name of a decoder parameter."""
    for mine, theirs in NAMES:
        name = name.replace(mine, theirs)
    heads = {"reduce": "decoder_embed", "blocks": "decoder_blocks", "norm": "decoder_norm", "predict": "decoder_pred"}
    head, _, rest = name.partition(".")
    return f"{heads[head]}.{rest}" if head in heads else name


def painted(made: MsmMaeObjective) -> Painted:
    return made.paint(GOLDEN["mae/input"][:, 0].mT, GOLDEN["mae/noise"])


def test_decoder_positions() -> None:
    made = objective()
    first = int(CONFIG["use_cls_token"])
    assert (made.positions - GOLDEN["weights/decoder_pos_embed"][0, first:]).abs().max() < 1e-6


def test_mask_latent_and_prediction() -> None:
    made = objective()
    with torch.no_grad():
        view = painted(made)
    assert torch.equal(view.mask, GOLDEN["mae/mask"])
    assert torch.equal(view.restore, GOLDEN["mae/ids_restore"])
    assert made.visible == CONFIG["len_keep"]
    close(view.latent, "mae/latent", 1e-5)
    close(view.prediction, "mae/pred", 1e-5)
    close(view.target, "mae/target_patches", 1e-6)
    close(made.picture(view).mT[:, None], "mae/reconstruction", 1e-5)


@pytest.mark.parametrize(("norm_pix", "name"), [(False, "mae/loss_plain"), (True, "mae/loss_norm_pix")])
def test_losses(norm_pix: bool, name: str) -> None:
    made = objective(norm_pix)
    with torch.no_grad():
        close(made.loss(painted(made)), name, 1e-5)


def gradient(made: MsmMaeObjective, name: str) -> Tensor:
    """Our gradient under the authors' name and in their shape."""
    bias = made.encoder.config.width
    part = {"q_bias": slice(0, bias), "v_bias": slice(2 * bias, None)}
    for ours, parameter in made.named_parameters():
        assert parameter.grad is not None
        theirs = upstream(ours.removeprefix("encoder.")) if ours.startswith("encoder.blocks") else upstream(ours)
        theirs = theirs.replace("decoder_blocks", "blocks") if ours.startswith("encoder.") else theirs
        special = {"encoder.embed.weight": "patch_embed.proj.weight", "encoder.cls": "cls_token"}
        special["encoder.norm.weight"] = "norm.weight"
        theirs = special.get(ours, theirs)
        stem, _, last = name.rpartition(".")
        if theirs == name:
            return parameter.grad
        if last in part and theirs == f"{stem}.qkv.bias":
            return parameter.grad[part[last]]
    raise KeyError(name)


def test_gradients() -> None:
    made = objective()
    made.loss(painted(made)).backward()
    names = [name.removeprefix("mae/grad/") for name in sorted(_gradients())]
    assert names
    for name in names:
        wanted = GOLDEN[f"mae/grad/{name}"]
        close(gradient(made, name).reshape(wanted.shape), f"mae/grad/{name}", 1e-5)


def _gradients() -> list[str]:
    return [name for name in GOLDEN.names if name.startswith("mae/grad/")]


def test_a_key_bias_gets_no_gradient() -> None:
    """What makes one full bias exact for training too: the authors fix it at zero, and here nothing moves it."""
    made = objective()
    made.loss(painted(made)).backward()
    bias = made.encoder.blocks[0].attention.qkv.bias
    width = made.encoder.config.width
    assert bias.grad[width : 2 * width].abs().max() < 1e-6 * max(1.0, float(bias.grad.abs().max()))


def small(**options: object) -> MsmMaeObjective:
    torch.manual_seed(0)
    encoder = MsmMae(Config(width=24, depth=1, heads=2, frames=96, cls=bool(options.pop("cls", True))))
    return MsmMaeObjective(encoder, width=16, depth=1, heads=2, **options)  # type: ignore[arg-type]


def test_without_a_class_token_every_visible_patch_matters() -> None:
    """In the authors' code the first one is dropped there, and a change of it leaves the prediction alone."""
    made = small(cls=False)
    latent = torch.randn(1, made.visible, 24)
    restore = torch.randperm(made.patches)[None]
    before = made.decode(latent, restore)
    for place in range(made.visible):
        changed = latent.clone()
        changed[0, place] += 10
        assert (made.decode(changed, restore) - before).abs().max() > 1e-3


def test_the_encoder_sees_visible_patches_only() -> None:
    made = small()
    audio = 0.1 * torch.randn(2, made.crop)
    features = made.encoder.features(audio, 0, 96)
    noise = torch.rand(2, made.patches)
    view = made.paint(features, noise)
    assert view.latent.shape[1] == made.visible + 1
    hidden = view.mask.reshape(2, 5, 6).repeat_interleave(16, 1).repeat_interleave(16, 2).mT.bool()
    assert torch.equal(made.paint(torch.where(hidden, 99.0, features), noise).latent, view.latent)


def test_loss_counts_masked_patches_only() -> None:
    made = small()
    view = made.paint(torch.randn(2, 96, 80))
    wrong = Painted(**{**vars(view), "prediction": view.prediction + 50 * (1 - view.mask[..., None])})
    assert torch.equal(made.loss(wrong), made.loss(view))


@pytest.mark.parametrize("table", ["1-D", "2-D"])
@pytest.mark.parametrize("norm_pix", [False, True])
def test_a_few_steps_lower_the_loss(table: str, norm_pix: bool) -> None:
    made = small(table=table, norm_pix=norm_pix)
    audio = torch.sin(torch.arange(made.crop) * torch.tensor([[0.05], [0.2]]))
    optimiser = torch.optim.AdamW(made.parameters(), lr=3e-3)
    losses = []
    for step in range(30):
        loss, _ = made(audio, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("ratio", [0.0, 0.99, 1.0])
def test_a_mask_that_leaves_nothing_to_do_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="patches visible"):
        small(mask_ratio=ratio)
