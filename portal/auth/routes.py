"""All routes of auth, as `create_app` includes them."""

from __future__ import annotations

from fastapi import APIRouter

from portal.auth import account_routes, login_routes, user_routes

router = APIRouter()
for each in (login_routes, account_routes, user_routes):
    router.include_router(each.router)
