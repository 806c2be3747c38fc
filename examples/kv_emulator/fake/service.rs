//! Answers requests.

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use time::OffsetDateTime;

use super::answer::{self, Reply, rounded_up};
use super::faults::Fault;
use super::limits::Daily;
use super::routes::{self, Call, NOT_DESCRIBED, Route};
use super::store::Found;
use super::{ACCOUNT, Access, NAMESPACE, Quirks, Request, Shared, State, TITLE, TOKEN, Token};

/// The number of requests that are kept.
const REQUESTS_KEPT: usize = 1_000;
/// The shortest life of a value, in seconds.
const MIN_TIME_TO_LIVE: u64 = 60;

/// Answers any request.
pub(super) async fn answer(shared: Data<Shared>, head: HttpRequest, body: Bytes) -> HttpResponse {
    let route = Route::of(head.method().as_str(), head.uri().path());
    let request = Request {
        call: route.as_ref().map_or(Call::Unknown, |route| route.call),
        method: head.method().to_string(),
        target: head.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        headers: head.headers().iter().map(text_of).collect(),
        body: body.to_vec(),
    };
    let fault = {
        let mut state = shared.state();
        state.record(request.clone());
        state.faults.next(request.call)
    };
    let is_half = fault == Some(Fault::HalfBody);
    match fault {
        None | Some(Fault::HalfBody) => {}
        Some(Fault::Slow(delay)) => shared.clock.sleep(delay).await,
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset) => return answer::reset(),
        Some(Fault::Endless { announced }) => return answer::endless(announced),
        Some(Fault::Page(status)) => return Reply::page(status).send(),
        Some(Fault::Redirect(to)) => return Reply::page(302).with("location", to).send(),
        Some(Fault::Refused { status, code, message, retry_after }) => {
            let refusal = Reply::refusal(status, &[(code, message)]);
            let refusal = match retry_after {
                Some(seconds) => refusal.with("retry-after", seconds.to_string()),
                None => refusal,
            };
            return refusal.send();
        }
    }
    let reply = shared.state().reply(route, &request, shared.clock.utc());
    if is_half { reply.send_half() } else { reply.send() }
}

fn text_of(
    (name, value): (&actix_web::http::header::HeaderName, &actix_web::http::header::HeaderValue),
) -> (String, String) {
    (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
}

impl State {
    /// Counts every request, and keeps the latest.
    fn record(&mut self, request: Request) {
        *self.calls.entry(request.call).or_default() += 1;
        if self.requests.len() == REQUESTS_KEPT {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    fn reply(&mut self, route: Result<Route, Reply>, request: &Request, now: OffsetDateTime) -> Reply {
        let quota = self.quirks.calls;
        if route.is_err() {
            self.violations.push(format!("{} {}: no such route", request.method, request.target));
        }
        let reply = match self.limits.call(quota, now) {
            Ok(()) => {
                route.and_then(|route| self.dispatch(&route, request, now)).unwrap_or_else(|refusal| refusal)
            }
            Err(wait) => {
                let refusal =
                    Reply::refusal(429, &[(971, "Please wait and consider throttling your request speed")]);
                refusal.with("retry-after", rounded_up(wait).to_string())
            }
        };
        let (left, full_in) = self.limits.calls_left(quota, now);
        reply
            .with("cf-ray", format!("{:016x}-LHR", self.calls.values().sum::<usize>()))
            .with_limits(quota, left, full_in)
    }

    fn dispatch(&mut self, route: &Route, request: &Request, now: OffsetDateTime) -> Result<Reply, Reply> {
        let violation = routes::violation(route.call, request);
        self.refuse_undescribed(violation)?;
        let token = bearer(request)?;
        if matches!(route.call, Call::VerifyOfUser | Call::VerifyOfAccount) {
            return verify(route, token, &self.quirks);
        }
        self.admit(route, token)?;
        match route.call {
            Call::Get => self.get(&route.key, now),
            Call::Put => self.put(&route.key, request, now),
            Call::Delete => self.delete(&route.key, now),
            Call::PutMany => self.put_many(request, now),
            Call::DeleteMany => self.delete_many(request, now),
            Call::Namespaces => Ok(Reply::success(&json!([namespace()]))),
            _ => Ok(Reply::success(&namespace())),
        }
    }

    /// Checks account, token and namespace, in this order. A well-formed id of another account is presumably refused
    /// like a token; a malformed one has no route.
    fn admit(&self, route: &Route, token: &str) -> Result<(), Reply> {
        let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let account = route.account.as_deref().unwrap_or_default();
        if !is_id(account) {
            let message = format!(
                "Could not route to /accounts/{account}/storage/kv/namespaces, perhaps your object identifier is invalid?"
            );
            return Err(Reply::refusal(404, &[(7_003, &message), (7_000, "No route for that URI")]));
        }
        let is_read = matches!(route.call, Call::Get | Call::Probe | Call::Namespaces);
        let opens = match self.quirks.access {
            Access::Write => true,
            Access::Read => is_read,
            Access::None => false,
        };
        let is_alive = matches!(self.quirks.token, Token::OfUser | Token::OfAccount);
        if account != ACCOUNT || token != TOKEN || !is_alive || !opens {
            return Err(Reply::refusal(403, &[(10_000, "Authentication error")]));
        }
        match route.namespace.as_deref() {
            None | Some(NAMESPACE) => Ok(()),
            Some(id) if is_id(id) => {
                let message = format!("{}: 'namespace not found'", operation(route.call));
                Err(Reply::refusal(404, &[(10_013, &message)]))
            }
            // The status of this answer is not documented by those who observed it.
            Some(id) => {
                let message = format!("could not parse UUID: 'invalid namespace format: {id}'");
                Err(Reply::refusal(400, &[(10_011, &message)]))
            }
        }
    }

    fn get(&mut self, key: &str, now: OffsetDateTime) -> Result<Reply, Reply> {
        fits(key)?;
        self.take(Daily { reads: 1, ..Daily::default() }, now)?;
        let Quirks { stale_for, which, absent_for, .. } = self.quirks;
        let found = self.store.read(key, now, (stale_for, which, absent_for));
        let found = found.ok_or_else(|| Reply::refusal(404, &[(10_009, "get: 'key not found'")]))?;
        Ok(Reply::value(found.value, found.expires.map(OffsetDateTime::unix_timestamp)))
    }

    fn put(&mut self, key: &str, request: &Request, now: OffsetDateTime) -> Result<Reply, Reply> {
        fits(key)?;
        let query = request.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let parameter =
            |name| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
        let time_to_live = parameter("expiration_ttl").map(i64::unsigned_abs);
        let expires = expires(time_to_live, parameter("expiration"), now)?;
        // The code for an oversized value is unknown.
        if request.body.len() > 26_214_400 {
            return Err(Reply::refusal(413, &[]));
        }
        // So is the code for a key that is written twice within a second.
        if !self.limits.write(key, now) {
            return Err(Reply::refusal(429, &[]));
        }
        self.take(Daily { writes: 1, ..Daily::default() }, now)?;
        let found = Found { value: Bytes::copy_from_slice(&request.body), expires };
        self.store.change(key, Some(found), now, self.quirks.stale_for);
        Ok(Reply::success(&json!(null)))
    }

    fn delete(&mut self, key: &str, now: OffsetDateTime) -> Result<Reply, Reply> {
        fits(key)?;
        self.take(Daily { deletes: 1, ..Daily::default() }, now)?;
        self.store.change(key, None, now, self.quirks.stale_for);
        Ok(Reply::success(&json!({})))
    }

    /// Presumably only the keys that were written within the last second are rejected.
    fn put_many(&mut self, request: &Request, now: OffsetDateTime) -> Result<Reply, Reply> {
        let pairs = self.refuse_malformed(routes::pairs(&request.body))?;
        let lives: Result<Vec<_>, _> =
            pairs.iter().map(|pair| expires(pair.time_to_live, pair.expiration, now)).collect();
        let lives = lives?;
        self.take(Daily { writes: pairs.len() as u64, ..Daily::default() }, now)?;
        let asked = pairs.len();
        let mut unsuccessful = Vec::new();
        for (pair, expires) in pairs.into_iter().zip(lives) {
            if self.limits.write(&pair.key, now) {
                let found = Found { value: pair.value.into(), expires };
                self.store.change(&pair.key, Some(found), now, self.quirks.stale_for);
            } else {
                unsuccessful.push(pair.key);
            }
        }
        let count = asked - unsuccessful.len();
        Ok(Reply::success(&json!({"successful_key_count": count, "unsuccessful_keys": unsuccessful})))
    }

    fn delete_many(&mut self, request: &Request, now: OffsetDateTime) -> Result<Reply, Reply> {
        let keys = self.refuse_malformed(routes::keys(&request.body))?;
        self.take(Daily { deletes: keys.len() as u64, ..Daily::default() }, now)?;
        for key in &keys {
            self.store.change(key, None, now, self.quirks.stale_for);
        }
        Ok(Reply::success(&json!({"successful_key_count": keys.len(), "unsuccessful_keys": []})))
    }

    /// The status 429 is hearsay; code and message were observed often.
    fn take(&mut self, wanted: Daily, now: OffsetDateTime) -> Result<(), Reply> {
        let message = "your account has reached the free usage limit for this operation for today";
        let granted = self.limits.take(wanted, self.quirks.daily, now);
        granted.then_some(()).ok_or_else(|| Reply::refusal(429, &[(10_048, message)]))
    }

    fn refuse_malformed<T>(&mut self, read: Result<T, String>) -> Result<T, Reply> {
        read.map_err(|violation| {
            let refusal = Reply::refusal(400, &[(10_012, &violation)]);
            self.violations.push(violation);
            refusal
        })
    }

    fn refuse_undescribed(&mut self, violation: Option<String>) -> Result<(), Reply> {
        let Some(violation) = violation else { return Ok(()) };
        let refusal = Reply::refusal(400, &[(NOT_DESCRIBED, &violation)]);
        self.violations.push(violation);
        Err(refusal)
    }
}

fn bearer(request: &Request) -> Result<&str, Reply> {
    let Some((_, header)) = request.headers.iter().find(|(name, _)| name == "authorization") else {
        return Err(Reply::refusal(
            400,
            &[(9_106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers")],
        ));
    };
    let token = header.strip_prefix("Bearer ").filter(|token| !token.is_empty() && !token.contains(' '));
    token.ok_or_else(|| Reply::refusal(400, &[(6_003, "Invalid request headers")]))
}

fn verify(route: &Route, token: &str, quirks: &Quirks) -> Result<Reply, Reply> {
    let of_account = quirks.token == Token::OfAccount;
    let right_door = of_account == (route.call == Call::VerifyOfAccount);
    if token != TOKEN || !right_door || quirks.token == Token::Unknown {
        return Err(Reply::refusal(401, &[(1_000, "Invalid API Token")]));
    }
    Ok(Reply::verified(match quirks.token {
        Token::Disabled => "disabled",
        Token::Expired => "expired",
        _ => "active",
    }))
}

/// The code is that of an emulator; the live one is unknown.
fn fits(key: &str) -> Result<(), Reply> {
    let message = format!("UTF-8 encoded length of {} exceeds key length limit of 512.", key.len());
    if key.len() > 512 { Err(Reply::refusal(414, &[(10_000, &message)])) } else { Ok(()) }
}

/// A lifetime takes precedence over an expiration time.
fn expires(
    time_to_live: Option<u64>,
    expiration: Option<i64>,
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, Reply> {
    let refusal = |message| Reply::refusal(400, &[(10_034, message)]);
    match (time_to_live, expiration) {
        (Some(seconds), _) if seconds < MIN_TIME_TO_LIVE => {
            Err(refusal("Invalid expiration_ttl. Expiration TTL must be at least 60 seconds."))
        }
        (Some(seconds), _) => {
            Ok(now.checked_add(time::Duration::seconds(seconds.try_into().unwrap_or(i64::MAX))))
        }
        (None, Some(at)) => {
            OffsetDateTime::from_unix_timestamp(at).map(Some).map_err(|_| refusal("Invalid expiration."))
        }
        (None, None) => Ok(None),
    }
}

fn namespace() -> serde_json::Value {
    json!({"id": NAMESPACE, "title": TITLE, "supports_url_encoding": true})
}

fn operation(call: Call) -> &'static str {
    match call {
        Call::Get => "get",
        Call::Put => "put",
        Call::Delete => "delete",
        Call::PutMany => "bulk put",
        Call::DeleteMany => "bulk delete",
        _ => "get namespace",
    }
}
