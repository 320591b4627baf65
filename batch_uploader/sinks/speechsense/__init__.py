"""Uploads recordings to SpeechSense; the only room that knows gRPC."""
