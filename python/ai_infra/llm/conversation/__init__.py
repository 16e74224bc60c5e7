"""The rooms behind :class:`~ai_infra.llm.tools.custom.ConversationMemory`; import it from there."""
