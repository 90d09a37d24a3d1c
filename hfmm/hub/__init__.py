"""Communication with the Hub: publish, push and download repositories."""
