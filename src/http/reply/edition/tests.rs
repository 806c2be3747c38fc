use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;

use super::*;
use crate::cache::Scopes;
use crate::catalogue::Catalogue;
use crate::clock::Clock;
use crate::domain::snapshot::{LeftOut, Snapshot};
use crate::domain::testing::SEED;
use crate::http::reply::coding::Coding::{Brotli, Gzip, Identity};
use crate::http::reply::freshness::Lifetime;
use crate::status::{DatabaseKind, Status};

/// An edition of the seed, every model of it `times` times.
async fn edition(times: usize) -> Arc<Edition> {
    let seed = SEED.clone().into_snapshot();
    let copies = seed.models().iter().flat_map(|model| {
        (0..times).map(move |n| {
            let mut copy = model.clone();
            copy.id = format!("{}-{n}", model.id).parse().unwrap();
            copy
        })
    });
    let (snapshot, _) = Snapshot::build(
        seed.providers().to_vec(),
        seed.tasks().to_vec(),
        copies.collect(),
        LeftOut::default(),
    );
    let clock = Clock::system();
    let status = Arc::new(Status::new(clock.clone(), DatabaseKind::None));
    status.decide();
    let scopes = Arc::new(Scopes::new(clock.clone()));
    let catalogue = Catalogue::new(snapshot, None, status, scopes, clock, Handle::current());
    Arc::new(Edition::new(catalogue.read().await.unwrap(), Arc::default()))
}

/// Asks, and says whether the body had to be written.
async fn is_written(edition: &Arc<Edition>, resource: Resource, coding: Coding, bytes: usize) -> bool {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let accepted = Accepted { coding, identity: true };
    let write = move |_: &Edition| {
        count.fetch_add(1, Ordering::Relaxed);
        (0..bytes).map(|n| b"0123456789abcdef"[(n * n / 7) % 16]).collect()
    };
    edition.body(resource, accepted, write).await.unwrap();
    written.load(Ordering::Relaxed) > 0
}

fn query(n: usize) -> Resource {
    Resource::Models { query: format!("min_context={n}").into(), of_provider: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_come_together_share_one_body_per_coding() {
    for times in [1, 10] {
        let edition = edition(times).await;
        let (writes, mut callers) = (Arc::new(AtomicUsize::new(0)), tokio::task::JoinSet::new());
        for coding in [Identity, Gzip, Brotli].into_iter().cycle().take(90) {
            let (edition, writes) = (Arc::clone(&edition), Arc::clone(&writes));
            callers.spawn(async move {
                let write = move |edition: &Edition| {
                    writes.fetch_add(1, Ordering::Relaxed);
                    serde_json::to_vec(edition.read().snapshot()).unwrap()
                };
                let body = edition.body(query(1), Accepted { coding, identity: true }, write).await.unwrap();
                assert_eq!(body.coding, coding);
                (coding, body.bytes.as_ptr() as usize)
            });
        }
        let shared: std::collections::HashSet<_> = callers.join_all().await.into_iter().collect();
        assert_eq!((shared.len(), writes.load(Ordering::Relaxed)), (3, 1), "{times}");
    }
}

#[tokio::test]
async fn a_flood_of_queries_evicts_only_bodies_used_once() {
    let edition = edition(1).await;
    let long = |n| Resource::Models { query: format!("q={n}").into(), of_provider: false };
    let lists = [Resource::List(List::Models), Resource::List(List::Providers)];
    let hot: Vec<_> = lists
        .into_iter()
        .chain([Resource::Model(3)])
        .chain([1, 2].map(query))
        .chain([1, 2].map(long))
        .collect();
    let bytes = |resource: &Resource| match resource {
        Resource::Models { query, .. } if query.starts_with('q') => 100_000,
        _ => 5_000,
    };
    for resource in &hot {
        for coding in [Identity, Gzip, Brotli] {
            is_written(&edition, resource.clone(), coding, bytes(resource)).await;
            assert!(!is_written(&edition, resource.clone(), coding, bytes(resource)).await);
        }
    }
    for n in 10..5_000 {
        assert!(is_written(&edition, query(n), Identity, 4_000).await);
        assert!(is_written(&edition, long(n), Identity, 20_000).await);
    }
    let (entries, kept) = edition.kept_by_now();
    assert!(kept <= ITEMS_BYTES + QUERIES_BYTES + 6 * 5_000, "{entries} bodies of {kept} bytes");
    for resource in &hot {
        for coding in [Identity, Gzip, Brotli] {
            let again = is_written(&edition, resource.clone(), coding, bytes(resource)).await;
            assert!(!again, "{resource:?} {coding:?}");
        }
    }
    assert!(!is_written(&edition, query(4_999), Identity, 4_000).await, "the last to come has room");
    assert!(is_written(&edition, query(10), Identity, 4_000).await, "the first to come had to go");
}

#[tokio::test]
async fn a_long_body_evicts_no_others_and_is_kept_compressed() {
    let edition = edition(1).await;
    for n in 0..100 {
        is_written(&edition, query(n), Identity, 10_000).await;
    }
    for n in 100..104 {
        assert!(is_written(&edition, query(n), Gzip, 1 << 20).await);
        assert!(!is_written(&edition, query(n), Gzip, 1 << 20).await);
        assert!(is_written(&edition, query(n), Identity, 1 << 20).await);
    }
    for n in 0..100 {
        assert!(!is_written(&edition, query(n), Identity, 10_000).await, "{n}");
    }
    assert!(edition.kept_by_now().1 <= QUERIES_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_large_catalogue_stay_within_their_bound() {
    let edition = edition(40).await;
    assert!(edition.read().snapshot().models().len() > 4_000);
    for place in 0..edition.read().snapshot().models().len() {
        is_written(&edition, Resource::Model(place), Identity, 1_100).await;
        is_written(&edition, Resource::Model(7), Identity, 1_100).await;
    }
    let (entries, bytes) = edition.kept_by_now();
    assert!(bytes <= ITEMS_BYTES, "{entries} bodies of {bytes} bytes");
    assert!(!is_written(&edition, Resource::Model(7), Identity, 1_100).await, "what is in demand stays");
}

#[tokio::test]
async fn a_body_that_fails_is_an_error_and_the_next_caller_retries() {
    for times in [1, 10] {
        let edition = edition(times).await;
        let accepted = Accepted { coding: Brotli, identity: true };
        let failed = edition.body(query(1), accepted, |_| panic!("a fault of ours")).await;
        assert!(matches!(failed, Err(error) if error.code == Code::InternalError));
        assert!(is_written(&edition, query(1), Brotli, 2_000).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_leaves_the_others_what_they_wait_for() {
    let edition = edition(10).await;
    let accepted = Accepted { coding: Identity, identity: true };
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let write = move |_: &Edition| {
        begun.send(()).unwrap();
        may_go.recv().unwrap();
        b"once".to_vec()
    };
    let first = tokio::spawn({
        let edition = Arc::clone(&edition);
        async move { edition.body(query(1), accepted, write).await.map(drop) }
    });
    has_begun.await.unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let mut second = Box::pin(edition.body(query(1), accepted, |_| panic!("written twice")));
    tokio::select! {
        biased;
        _ = &mut second => panic!("it does not wait"),
        () = std::future::ready(()) => {}
    }
    go.send(()).unwrap();
    assert_eq!(second.await.unwrap().bytes, "once");
}

#[tokio::test]
async fn a_known_address_is_answered_while_its_body_is_kept() {
    let edition = edition(1).await;
    let accept = |coding| Accepted { coding, identity: true };
    let target = Target { resource: query(1), lifetime: Lifetime::ProviderStatus, route: None };
    edition.remember("/a?b", target);
    assert!(edition.known("/a?b", accept(Gzip)).is_none(), "nothing is written yet");
    is_written(&edition, query(1), Gzip, 5_000).await;
    let (body, target) = edition.known("/a?b", accept(Gzip)).unwrap();
    assert_eq!((target.lifetime, body.coding), (Lifetime::ProviderStatus, Gzip));
    assert!(edition.known("/a?b", accept(Brotli)).is_none() && edition.known("/a?c", accept(Gzip)).is_none());
    let short = query(2);
    is_written(&edition, short.clone(), Gzip, 10).await;
    edition.remember("/short", Target { resource: short, lifetime: Lifetime::Models, route: None });
    let refusing = Accepted { coding: Gzip, identity: false };
    assert_eq!(edition.known("/short", refusing).unwrap().0.coding, Gzip);
}

#[tokio::test]
async fn a_flood_of_addresses_is_bounded_and_keeps_those_in_demand() {
    let edition = edition(1).await;
    is_written(&edition, query(0), Identity, 10).await;
    let accepted = Accepted { coding: Identity, identity: true };
    let target = || Target { resource: query(0), lifetime: Lifetime::Models, route: None };
    edition.remember("/hot", target());
    for n in 0..20_000 {
        edition.remember(&format!("/{n}"), target());
        assert!(edition.known("/hot", accepted).is_some(), "{n}");
    }
    let (entries, bytes) = edition.targets.kept();
    assert!(
        bytes <= targets::TARGETS_BYTES && (1_000..20_000).contains(&entries),
        "{entries} of {bytes} bytes"
    );
}
