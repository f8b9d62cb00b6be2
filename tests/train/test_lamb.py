import pytest
import torch

from speechpriv.train.lamb import Lamb


def stepped(weights, gradients, lr=0.1, eps=1e-6):
    parameter = torch.nn.Parameter(weights.clone())
    optimizer = Lamb([parameter], lr=lr, eps=eps)
    for gradient in gradients:
        parameter.grad = gradient
        optimizer.step()
    return parameter.detach()


def test_the_first_step_is_the_rate_times_the_norm_of_the_weights():
    weights, gradient = torch.randn(7, 5), torch.randn(7, 5)
    moved = stepped(weights, [gradient]) - weights
    assert float(moved.norm()) == pytest.approx(0.1 * float(weights.norm()), rel=1e-4)
    assert torch.equal(moved.sign(), -gradient.sign())


def test_as_the_paper_says_step_by_step():
    weights, gradients = torch.randn(3, 4), [torch.randn(3, 4) for _ in range(5)]
    expected, mean, square = weights.clone(), torch.zeros(3, 4), torch.zeros(3, 4)
    for t, gradient in enumerate(gradients, start=1):
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        update = (mean / (1 - 0.9**t)) / ((square / (1 - 0.999**t)).sqrt() + 1e-6)
        expected = expected - 0.1 * expected.norm() / update.norm() * update
    assert torch.allclose(stepped(weights, gradients), expected, rtol=1e-4, atol=1e-5)


def test_the_size_of_the_gradient_does_not_matter():
    """But for `eps`, which tells where the rooted square stands beside it."""
    weights, gradient = torch.randn(4, 4), torch.randn(4, 4)
    small, large = (stepped(weights, [size * gradient], eps=1e-12) for size in (1, 1000))
    assert torch.allclose(small, large, rtol=1e-5, atol=1e-6)


def test_zero_weights_and_zero_gradients():
    assert torch.allclose(stepped(torch.zeros(3), [torch.ones(3)]), torch.full((3,), -0.1), rtol=1e-4)
    assert torch.equal(stepped(torch.ones(3), [torch.zeros(3)]), torch.ones(3))


def test_it_learns():
    torch.manual_seed(0)
    target, parameter = torch.randn(10), torch.nn.Parameter(torch.randn(10))
    optimizer = Lamb([parameter], lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        (parameter - target).square().sum().backward()
        optimizer.step()
    assert float((parameter.detach() - target).square().sum()) < 0.05
