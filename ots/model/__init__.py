"""The nouns of OTS as plain data: no input or output, no clock, no asyncio."""
