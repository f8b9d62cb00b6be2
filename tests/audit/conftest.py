"""What audits of real models share."""

import pytest
import torch

from speechpriv.models import asr


@pytest.fixture(scope="session")
def memorise():
    """Plain AdamW on a few recordings until nothing else is known."""

    def learn(recogniser, waveforms, texts, *, steps, learning_rate):
        features, mask = recogniser.features(waveforms)
        targets = [recogniser.encode(text) for text in texts]
        optimizer = torch.optim.AdamW(recogniser.model.parameters(), lr=learning_rate)
        for _ in range(steps):
            optimizer.zero_grad()
            log_probs, lengths = recogniser.log_probs_of(features, mask)
            asr.ctc_losses(log_probs, lengths, targets, recogniser.blank).mean().backward()
            torch.nn.utils.clip_grad_norm_(recogniser.model.parameters(), 10.0)
            optimizer.step()

    return learn
