"""Instrumented preference training on torch, transformers, accelerate and peft."""
