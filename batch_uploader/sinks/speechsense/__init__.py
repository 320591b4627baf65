"""Uploads recordings to SpeechSense; the only package that knows gRPC."""
