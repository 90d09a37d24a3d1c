"""What turns a run into a repository: plots, the card, and the proof in a clean process that both are true."""
