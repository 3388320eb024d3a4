"""The requester's side: keys, quotes, requests, answers, money."""
