"""Emotions' mean codes are free of who shows them, and of pose and light."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from emorph.train.tasks.class_means import ClassMeans, class_means, guarded

N_CLASSES, Z_DIM, N_PEOPLE, N_FACES = 4, 32, 600, 2500


class Made:
    """People who look as the emotion that they mostly show; one emotion comes with a turned head."""

    def __init__(self) -> None:
        g = torch.Generator().manual_seed(0)
        self.true = torch.randn(N_CLASSES, Z_DIM, generator=g)
        mostly = torch.randint(0, N_CLASSES, (N_PEOPLE,), generator=g)
        looks = 2 * torch.randn(N_PEOPLE, Z_DIM, generator=g) + 3 * torch.randn(N_CLASSES, Z_DIM, generator=g)[mostly]
        self.people = torch.randint(0, N_PEOPLE, (N_FACES,), generator=g)
        other = torch.randint(0, N_CLASSES, (N_FACES,), generator=g)
        self.labels = torch.where(torch.rand(N_FACES, generator=g) < 0.6, mostly[self.people], other)
        self.turn = torch.randn(N_FACES, 1, generator=g) + (self.labels == 1)[:, None]
        noise = 0.7 * torch.randn(N_FACES, Z_DIM, generator=g)
        pattern = torch.randn(1, Z_DIM, generator=g)
        self.z = self.true[self.labels] + looks[self.people] + self.turn @ pattern + noise

    def error(self, means: Tensor) -> float:
        """Squared error of the differences between classes, relative to their size."""
        wrong = (means - means.mean(dim=0)) - (self.true - self.true.mean(dim=0))
        return float(wrong.square().sum() / (self.true - self.true.mean(dim=0)).square().sum())


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def test_people_and_pose_are_told_from_expression(made: Made) -> None:
    found = class_means(made.z, made.labels, N_CLASSES, persons=made.people, confounds=made.turn)
    assert made.error(found.means) < 0.1
    assert made.error(class_means(made.z, made.labels, N_CLASSES).means) > 1  # what people look like, for the most part
    without_pose = class_means(made.z, made.labels, N_CLASSES, persons=made.people)
    assert made.error(without_pose.means) > 2 * made.error(found.means)
    assert 0.6 < found.person_share < 0.9


def test_faces_that_are_all_other_people_give_plain_means(made: Made) -> None:
    found = class_means(made.z, made.labels, N_CLASSES, persons=torch.arange(N_FACES))
    plain = torch.stack([made.z[made.labels == k].mean(dim=0) for k in range(N_CLASSES)]).double()
    assert torch.allclose(found.means, plain, atol=0.02)
    assert found.person_share == 0


def test_variance_foretells_the_error() -> None:
    errors, foretold = [], []
    for seed in range(20):
        g = torch.Generator().manual_seed(seed)
        labels = torch.cat([torch.zeros(400, dtype=torch.int64), torch.ones(20, dtype=torch.int64)])
        z = labels[:, None].double() + torch.randn(420, 16, generator=g)
        found = class_means(z, labels, 2)
        errors.append(float((found.means[1] - 1).square().sum()))
        foretold.append(float(found.variance[1]))
    assert sum(errors) == pytest.approx(sum(foretold), rel=0.35)


def test_few_faces_are_not_taken_for_an_emotion() -> None:
    means = torch.randn(4, 16, generator=torch.Generator().manual_seed(1)).double()
    counts = torch.tensor([500, 500, 500, 5])
    found = guarded(ClassMeans(means, torch.tensor([0.1, 0.1, 0.1, 50.0], dtype=torch.float64), 0.0), counts)
    assert torch.allclose(found[:3], means[:3], atol=0.15)
    centre = means[:3].mean(dim=0)
    assert (found[3] - centre).norm() < 0.5 * (means[3] - centre).norm()
    rest = torch.linalg.lstsq((means[:3] - centre).T, found[3] - centre).solution
    assert torch.allclose((means[:3] - centre).T @ rest, found[3] - centre, atol=1e-6)  # within what the others span
