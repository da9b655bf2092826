"""The OpenAI provider: any API that speaks OpenAI's chat completions."""
