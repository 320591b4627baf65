"""Uploads recordings to SpeechSense; the only package that imports gRPC, besides the emulator."""
