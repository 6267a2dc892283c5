"""A FastAPI app. uvicorn serves it on PORT; nothing in it knows about Lambda but the freeze path, which is optional."""

import asyncio

from fastapi import BackgroundTasks, FastAPI, Request, Response

app = FastAPI()
pending = 0  # what goes on after answers
idle = asyncio.Condition()


@app.get("/")
async def hello(request: Request):
    return {
        "message": "Hello from FastAPI",
        "scheme": request.url.scheme,
        "client": request.client.host,
    }


@app.post("/orders", status_code=202)
async def order(tasks: BackgroundTasks):
    tasks.add_task(send_receipt)
    return {"accepted": True}


async def send_receipt():
    global pending
    pending += 1
    try:
        await asyncio.sleep(0.1)
        print("receipt sent", flush=True)
    finally:
        async with idle:
            pending -= 1
            idle.notify_all()


@app.post("/freeze")
async def freeze(request: Request):
    """lambdapeer asks before Lambda freezes the environment: LAMBDA_DISPATCH_PEER_FREEZE_PATH=/freeze."""
    if request.headers.get("lambda-dispatch-event") != "freeze":
        return Response(status_code=404)
    async with idle:
        await idle.wait_for(lambda: pending == 0)
    return Response(status_code=204)
