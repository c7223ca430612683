"""What schemathesis is told of the API of `mcp-reporter serve` beside its description."""

import re

import schemathesis

# As the description has it.
KEY = re.compile(r'("?)([!#-\[\]-~]{1,128})\1')

used_keys = set()


@schemathesis.check
def a_key_is_required(ctx, response, case):
    """Without a key, whatever needs one is answered as the coordinator answers it."""
    request = response.request
    if request.method != case.operation.method.upper() or "Authorization" in request.headers:
        return
    if case.operation.definition.raw.get("security"):
        assert response.status_code == 403, f"{response.status_code} without a key"
        assert response.json() == {"detail": "Not authenticated"}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """An Idempotency-Key that comes again, with another body, is refused; the description cannot
    say which came before. So none comes again: else what is good would be refused, and what is
    not would be refused for its key."""
    given = (case.headers or {}).get("Idempotency-Key")
    well_formed = isinstance(given, str) and KEY.fullmatch(given)
    if not well_formed:
        return
    # With quotes or without, it is the same key.
    quote, key = well_formed.groups()
    if key in used_keys:
        key = f"{len(used_keys)}.{key}"[:128]
        case.headers["Idempotency-Key"] = f"{quote}{key}{quote}"
    used_keys.add(key)
