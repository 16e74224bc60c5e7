"""Talking to an OpenAI-compatible service: where it is, one call with retries, and its errors made ours.

Shared by :mod:`ai_infra.llm.client` and :mod:`ai_infra.embeddings`. The ``openai`` package is imported at the
first call, in :mod:`ai_infra._service.sdk` alone.
"""
