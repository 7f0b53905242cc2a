"""What `client.subscribe(callback)` hands to its callback: small, frozen, redacted.

```
def show(event):
    match event:
        case nbhttp.events.RequestFinished(status_code=code, elapsed=seconds):
            print(code, seconds)
```
"""

from nbhttp._core.events import (
    BatchProgress,
    DownloadFinished,
    DownloadProgress,
    DownloadStarted,
    Event,
    RedirectFollowed,
    RequestFinished,
    RequestRetried,
    RequestStarted,
    UploadProgress,
)

__all__ = [
    "BatchProgress",
    "DownloadFinished",
    "DownloadProgress",
    "DownloadStarted",
    "Event",
    "RedirectFollowed",
    "RequestFinished",
    "RequestRetried",
    "RequestStarted",
    "UploadProgress",
]
