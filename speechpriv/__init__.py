"""Train speech recognisers on people's recordings so that the people stay private, and prove it."""
