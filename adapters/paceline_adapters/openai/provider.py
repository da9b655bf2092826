"""Chat completions through the real client."""

import json

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAioHttpClient

from paceline.errors import Fatal, ProviderUnusable, Refused, Transient, UnusableAnswer
from paceline.provider import Completion, CompletionRequest, Provider
from paceline.settings.model import ProviderSettings


class OpenAIProvider(Provider):
    """One attempt through ``AsyncOpenAI``."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.key = f"openai:{settings.model}"
        self._settings = settings
        self._client = AsyncOpenAI(
            api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
            base_url=settings.base_url,
            max_retries=0,
            timeout=settings.timeout,
            http_client=DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=settings.max_connections),
                timeout=settings.timeout,
            ),
        )

    async def complete(self, request: CompletionRequest) -> Completion:
        """One attempt."""
        body: dict[str, object] = {
            "model": self._settings.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "max_tokens": request.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": request.step, "schema": request.schema, "strict": False},
            },
        }
        try:
            answer = await self._client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                content=json.dumps(body).encode(),
                options={"headers": {"content-type": "application/json"}},
            )
            data = json.loads(answer.content)
        except openai.RateLimitError as error:
            raise Refused("429", float(error.response.headers.get("retry-after", 1))) from None
        except (openai.AuthenticationError, openai.NotFoundError) as error:
            raise ProviderUnusable(str(error)) from None
        except openai.APIStatusError as error:
            if error.status_code >= 500:
                raise Transient(str(error)) from None
            raise Fatal(str(error)) from None
        except (openai.APIConnectionError, ValueError) as error:
            raise Transient(f"{type(error).__name__}") from None
        text = data["choices"][0]["message"]["content"]
        if not text:
            raise UnusableAnswer("empty", "nothing")
        usage = data.get("usage") or {}
        return Completion(
            text=text,
            model=data["model"],
            prompt_tokens=usage.get("prompt_tokens", 0),
            completion_tokens=usage.get("completion_tokens", 0),
        )

    async def close(self) -> None:
        """Close."""
        await self._client.close()
