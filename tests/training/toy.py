"""A training of a second: a small network with batch norm learns the mean colour of noise.

Run as a script it trains in a folder, alone or under torchrun: `toy.py FOLDER [KEY=VALUE ...]`.
"""

import sys
import time
from dataclasses import dataclass

import torch
from pytorch_optimizer import Ranger
from torch import nn

from xfer.training.config import TrainingConfig
from xfer.training.distributed import World, normal, rng
from xfer.training.loop import Task, train


@dataclass(frozen=True)
class ToyConfig(TrainingConfig):
    batch: int = 4
    kimg: float = 0.08
    log_kimg: float = 0.02
    save_kimg: float = 0.02
    ema_kimg: float = 0.02
    optimiser: str = "adam"
    bad_steps: tuple[int, ...] = ()
    """Steps whose images are not finite."""
    pause_s: float = 0.0


class ToyTask(Task):
    name = "toy"

    def __init__(self, config: ToyConfig, world: World | None = None):
        with torch.random.fork_rng():
            torch.manual_seed(rng(config.seed, "init", 0).initial_seed())
            network = nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.PReLU(8), nn.Flatten(), nn.Linear(288, 3)
            )
        optimiser = {"adam": torch.optim.Adam, "ranger": Ranger}[config.optimiser]
        optimiser = optimiser(network.parameters(), lr=config.learning_rate)
        super().__init__(config, {"network": network}, {"all": optimiser}, ["network"], world)

    def batch(self, step: int) -> torch.Tensor:
        images = normal(self.rngs("images", step), 3, 8, 8).to(torch.get_default_dtype())
        return images * float("nan") if step in self.config.bad_steps else images

    def step(self, step: int, images: torch.Tensor) -> dict[str, torch.Tensor]:
        time.sleep(self.config.pause_s)
        loss = (self.networks["network"](images) - images.mean((2, 3))).square().mean()
        self.update("all", loss)
        return {"loss": loss}


def main() -> None:
    kinds = {name: type(value) for name, value in vars(ToyConfig()).items()}
    pairs = dict(argument.split("=") for argument in sys.argv[2:])
    if pairs.pop("double", ""):
        torch.set_default_dtype(torch.float64)
    config = ToyConfig(**{name: kinds[name](value) for name, value in pairs.items()})
    world = World.join("cpu")
    train(ToyTask(config, world), sys.argv[1])


if __name__ == "__main__":
    main()
