"""Everything that talks to the Hub: publish, push, pull and the repositories beside a model."""
