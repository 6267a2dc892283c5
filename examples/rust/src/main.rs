//! An axum app that listens on PORT. Nothing in it knows about Lambda.

use axum::{http::HeaderMap, routing::get, Router};
use tokio::signal::unix::{signal, SignalKind};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let mut end = signal(SignalKind::terminate())?;
    axum::serve(listener, Router::new().route("/", get(hello)))
        .with_graceful_shutdown(async move {
            end.recv().await;
        })
        .await
}

async fn hello(headers: HeaderMap) -> String {
    let scheme = headers
        .get("x-forwarded-proto")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("http");
    format!("Hello from Rust over {scheme}\n")
}
