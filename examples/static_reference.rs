//! Replays another server's answers with as little overhead as actix-web allows: a reference for what the hardware and
//! the framework can do.
//!
//! ```text
//! cargo run --release --example static_reference -- http://127.0.0.1:8080 /api/models /api/health
//! ```
//!
//! At its start it fetches each path, plain and compressed with gzip and brotli. It then sends the same bytes with the
//! same headers on a port that the system chooses and that it prints. `If-None-Match` is compared literally. An unknown
//! query gets the answer of its path. Other paths are a 404. One thread serves.

use std::collections::HashMap;
use std::io::Write;

use actix_web::http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, DATE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, TRANSFER_ENCODING,
};
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use anyhow::{Context, ensure};
use clap::Parser;

/// The content codings, best first.
const ENCODINGS: [&str; 3] = ["br", "gzip", "identity"];

#[derive(Parser)]
struct Arguments {
    /// The server whose answers are replayed.
    server: String,
    /// Paths with their queries.
    #[arg(required = true)]
    paths: Vec<String>,
}

struct Answer {
    /// Without the connection headers, which this server writes itself.
    headers: Vec<(HeaderName, HeaderValue)>,
    etag: Option<HeaderValue>,
    body: Bytes,
}

/// By path and query, each in the order of [`ENCODINGS`].
type Answers = HashMap<String, [Answer; ENCODINGS.len()]>;

fn main() -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(serve())
}

async fn serve() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let client = reqwest::Client::builder().build()?;
    let mut answers = Answers::new();
    for path in arguments.paths {
        let [br, gzip, identity] =
            ENCODINGS.map(|encoding| fetch(&client, format!("{}{path}", arguments.server), encoding));
        let all = [br.await?, gzip.await?, identity.await?];
        answers.insert(path, all);
    }
    let answers = Data::new(answers);
    let server =
        HttpServer::new(move || App::new().app_data(Data::clone(&answers)).default_service(web::to(answer)))
            .workers(1)
            .bind(("127.0.0.1", 0))?;
    for address in server.addrs() {
        writeln!(std::io::stdout(), "listening on http://{address}")?;
    }
    Ok(server.run().await?)
}

async fn fetch(client: &reqwest::Client, url: String, encoding: &str) -> anyhow::Result<Answer> {
    let response = client.get(&url).header("accept-encoding", encoding).send().await?;
    ensure!(response.status() == 200, "{url}: {}", response.status());
    let mut headers = Vec::new();
    for (name, value) in response.headers() {
        let name: HeaderName = name.as_str().parse().context("a header's name")?;
        if ![CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING].contains(&name) {
            headers.push((name, HeaderValue::from_bytes(value.as_bytes())?));
        }
    }
    let etag = headers.iter().find(|(name, _)| *name == ETAG).map(|(_, value)| value.clone());
    Ok(Answer { headers, etag, body: response.bytes().await? })
}

async fn answer(request: HttpRequest, answers: Data<Answers>) -> HttpResponse {
    let named = request.uri().path_and_query().and_then(|path| answers.get(path.as_str()));
    let Some([br, gzip, identity]) = named.or_else(|| answers.get(request.path())) else {
        return HttpResponse::NotFound().finish();
    };
    let headers = request.headers();
    let answer = match headers.get(ACCEPT_ENCODING).map_or(b"".as_slice(), HeaderValue::as_bytes) {
        accepted if accepted.windows(2).any(|word| word == b"br") => br,
        accepted if accepted.windows(4).any(|word| word == b"gzip") => gzip,
        _ => identity,
    };
    let mut response =
        if is_known(headers, answer) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    for header in &answer.headers {
        response.append_header((header.0.clone(), header.1.clone()));
    }
    if is_known(headers, answer) { response.finish() } else { response.body(answer.body.clone()) }
}

fn is_known(headers: &HeaderMap, answer: &Answer) -> bool {
    answer.etag.is_some() && headers.get(IF_NONE_MATCH) == answer.etag.as_ref()
}
