"""A process with a limit of open files that makes many calls at once.

``many_calls_process.py BASE_URL SOFT HARD CALLS`` prints how many were answered.
"""

import asyncio
import resource
import sys

from paceline.contracts.provider import CompletionRequest, Message
from paceline.settings.model import ProviderSettings
from paceline_adapters.openai.provider import OpenAIProvider


async def answered(base_url: str, calls: int) -> int:
    """Make all calls at the same time."""
    settings = ProviderSettings(base_url=base_url)
    provider = OpenAIProvider(settings)
    requests = [
        CompletionRequest(messages=(Message("user", f"Question {number}"),), step="ask")
        for number in range(calls)
    ]
    answers = await asyncio.gather(*map(provider.complete, requests))
    await provider.close()
    return len(answers)


if __name__ == "__main__":
    url, soft, hard, count = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), int(hard)))
    sys.stdout.write(f"{asyncio.run(answered(url, int(count)))}\n")
