APPS = [
    "service",
    "users",
    "organisations",
    "projects",
    "environments",
    "features",
    "segments",
    "audit",
]
