"""Dropout's masks: which element reads which random word, and what they do not depend on."""

from __future__ import annotations

import numpy as np
import pytest

import hesscore as hc

P, SEED, STEP = 0.3, 7, 5


def mask_of(net, shape, n, dtype="float64", train=(SEED, STEP)):
    """The factors, of inputs that are one."""
    f = hc.Objective(net, hc.MSELoss(), input_shape=shape)
    w = f.init(dtype=dtype)
    for name, view in f.views(w).items():
        view[...] = np.eye(len(view)).reshape(view.shape) if name.endswith("weight") else 0
    return f.predict(w, np.ones((n, *shape), dtype), train=train)


def images(n, **kw):
    """Behind a convolution that changes nothing."""
    return mask_of(hc.Sequential(hc.Conv2d(3, 3, 1), hc.Dropout(P)), (3, 4, 5), n, **kw)


def philox(counter, key):
    """Philox 4x32-10 of Salmon et al. 2011, from the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k[0], b & 0xFFFFFFFF, a >> 32 ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def expected(n, layer):
    key = SEED ^ 0x6A09E667F3BCC908  # of dropout
    key = key & 0xFFFFFFFF, key >> 32
    words = [w for i in range(-(-n // 4)) for w in philox((i, layer, STEP, 0), key)]
    return np.where(np.array(words[:n], np.uint64) >= int(P * 2**32), 1 / (1 - P), 0)


def is_drawn(mask):
    """By the published generator, as some layer?"""
    return any((expected(mask.size, layer) == mask).all() for layer in range(6))


def test_elements_are_counted_in_memory():
    vectors = mask_of(hc.Sequential(hc.Linear(11, 11), hc.Dropout(P)), (11,), 3)
    assert is_drawn(vectors.ravel())
    mask = images(2)
    assert is_drawn(mask.transpose(0, 2, 3, 1).ravel()) and not is_drawn(mask.ravel())


def test_what_a_mask_depends_on():
    mask = images(4)
    assert 0.5 < (mask > 0).mean() < 0.9
    np.testing.assert_allclose(mask[mask > 0], 1 / (1 - P), rtol=1e-15)
    np.testing.assert_array_equal(images(9)[:4], mask)  # not on the size of the batch
    single = images(4, dtype="float32")
    np.testing.assert_array_equal(single > 0, mask > 0)
    for other in ((SEED + 1, STEP), (SEED, STEP + 1)):
        assert (images(4, train=other) != mask).any()
    assert (mask[0] != mask[1]).any()
    assert (images(4, train=False) == 1).all()


def test_one_layer_used_twice_draws_twice():
    drop = hc.Dropout(0.5)
    net = hc.Concat(hc.Sequential(hc.Identity(), drop), hc.Sequential(hc.Identity(), drop))
    mask = mask_of(net, (40,), 1)
    assert (mask[0, :40] != mask[0, 40:]).any()


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan"), "a half"])
def test_probabilities_are_checked(p):
    with pytest.raises((ValueError, TypeError), match="p") as caught:
        hc.Objective(hc.Dropout(p), hc.MSELoss(), input_shape=3)
    assert isinstance(caught.value, hc.Error)
