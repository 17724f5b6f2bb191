"""A folder of graphs that ``emorph models export`` wrote of an autoencoder, as a model that an Editor takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from emorph.core.config import Config
from emorph.core.errors import CheckpointError, ConfigError
from emorph.core.pretrained import locate, read_config, stated_losses
from emorph.diffusion.process import rates
from emorph.diffusion.schedule import Schedule
from emorph.models.backends.graphs import Graph, engine, open_graph
from emorph.models.diffae import DiffAE, DiffAEConfig
from emorph.models.reuse import FixedZ
from emorph.models.sizes import check_pictures

KIND = "diffae-onnx"
ENCODER_FILE, UNET_FILE, OUTER_FILE = "encoder.onnx", "unet.onnx", "unet_outer.onnx"
GRAPH_FILES = (ENCODER_FILE, UNET_FILE, OUTER_FILE)
MAX_NAME = 200
HEXADECIMAL = r"[0-9a-f]{8,64}"


class ExportConfig(Config):
    """What config.json states of exported graphs.

    model: the sizes of the autoencoder. made_from: how the model was called; fingerprint, encoder_digest: of its
    weights. n_parameters: of the networks in the graphs.
    """

    model: DiffAEConfig
    made_from: str = Field(max_length=MAX_NAME)
    fingerprint: str = Field(pattern=f"^{HEXADECIMAL}$")
    encoder_digest: str = Field(pattern=f"^{HEXADECIMAL}$")
    n_parameters: int = Field(gt=0)


class ExportedDiffAE(DiffAE):
    """An autoencoder whose encoder and U-Net are graphs; it can be used, but neither trained nor saved.

    The latent net is not in the graphs.
    """

    def __init__(self, folder: Path, backend: str) -> None:
        """Raises CheckpointError for a damaged folder, MissingAssetError where the backend's library is lacking."""
        nn.Module.__init__(self)
        self.stated = ExportConfig.parse(read_config(folder, KIND), str(folder))
        self.config = self.stated.model
        self.losses = stated_losses(folder)
        self.latent_net = None
        self.diffusion = Schedule.linear() if self.config.schedule == "linear" else Schedule.cosine()
        self.register_buffer("rates", rates(self.diffusion), persistent=False)
        self.register_buffer("conds_mean", None, persistent=False)
        self.register_buffer("conds_std", None, persistent=False)
        self._folder, self.engine = folder, engine(backend)
        self._graphs: dict[str, Graph] = {}

    @property
    def fingerprint(self) -> str:
        """Of the weights that the graphs were made from."""
        return self.stated.fingerprint

    @property
    def encoder_digest(self) -> str:
        """Of the encoder that the graph was made from."""
        return self.stated.encoder_digest

    def encode(self, x: Tensor) -> Tensor:
        """As ``DiffAE.encode``."""
        self.check(x)
        z = self.graph(ENCODER_FILE).run({"x": x}, ["z"])[0]
        return _of_shape(z, (len(x), self.config.z_dim), ENCODER_FILE)

    def predict(self, x_t: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """As ``DiffAE.predict``, for one time step: t must be the same for all rows. Raises ShapeError."""
        if bool((t != t[0]).any()):
            raise ConfigError("exported graphs take one time step for all rows; call them row by row.")
        return self.at(z).whole(x_t, t[:1])

    def at(self, z: Tensor) -> FixedZ:
        """As ``DiffAE.at``."""
        return _GraphAtZ(self, z)

    def save_pretrained(self, folder: Path | str, **_: Any) -> None:
        """Raises CheckpointError: graphs hold no weights that could be saved."""
        raise CheckpointError(
            f"{self._folder} holds graphs, which are no weights; convert or train {self.stated.made_from} itself."
        )

    def graph(self, name: str) -> Graph:
        """One of the graphs, opened when it is first needed."""
        if name not in self._graphs:
            self._graphs[name] = open_graph(self._folder / name, self.engine)
        return self._graphs[name]

    def check(self, x: Tensor) -> None:
        """Raises ShapeError if these are no pictures of the model's."""
        c = self.config
        check_pictures(x, c.image_channels, c.image_size, "this model takes float pictures in [-1, 1]")


class _GraphAtZ:
    def __init__(self, model: ExportedDiffAE, z: Tensor) -> None:
        self._model = model
        self._z = z

    def whole(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self._run(UNET_FILE, x_t, {"t": t}, ["raw"])[0]

    def with_deep(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        raw, deep = self._run(UNET_FILE, x_t, {"t": t}, ["raw", "deep"])
        return raw, deep

    def outer(self, x_t: Tensor, t: Tensor, deep: Tensor) -> Tensor:
        return self._run(OUTER_FILE, x_t, {"t": t, "deep": deep}, ["raw"])[0]

    def _run(self, name: str, x_t: Tensor, others: dict[str, Tensor], wanted: list[str]) -> list[Tensor]:
        self._model.check(x_t)
        found = self._model.graph(name).run({"x": x_t, "z": self._z, **others}, wanted)
        _of_shape(found[0], tuple(x_t.shape), name)
        return found


def _of_shape(found: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
    if tuple(found.shape) != shape:
        raise CheckpointError(f"{name} gave {tuple(found.shape)} where {shape} was expected; export the model again.")
    return found


def is_exported(name: str | Path) -> bool:
    """Whether a folder, a bundled model or a hub id holds exported graphs. Raises as ``locate``."""
    return holds_graphs(locate(name))


def holds_graphs(folder: Path) -> bool:
    """Whether all graphs of an autoencoder lie in a folder, which need not be there."""
    return all((folder / file).is_file() for file in GRAPH_FILES)


def read_exported(folder: Path, backend: str) -> ExportedDiffAE:
    """The model of a folder of graphs, in evaluation mode. Raises as ``ExportedDiffAE``."""
    model = ExportedDiffAE(folder, backend)
    model.eval()
    return model
