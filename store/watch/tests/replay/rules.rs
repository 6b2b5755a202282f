//! etcd's rules for watch streams, one by one.

use std::time::Duration;

use mainstay_proto::etcdserverpb::{
    WatchCreateRequest, WatchResponse, watch_create_request::FilterType,
};

use crate::support::{Client, World, all_from, key, options, range, revision};

/// Long enough for a response that should not come to come.
const QUIET: Duration = Duration::from_millis(150);

fn keys(response: &WatchResponse) -> Vec<(String, i64)> {
    let key = |event: &mainstay_proto::mvccpb::Event| {
        let kv = event.kv.as_ref().expect("a key");
        (
            String::from_utf8_lossy(&kv.key).into_owned(),
            kv.mod_revision,
        )
    };
    response.events.iter().map(key).collect()
}

#[tokio::test]
async fn ids_are_given_taken_and_refused_as_in_etcd() {
    let mut world = World::new(options());
    let mut client = Client::new(&world);
    world.write(&[("a", Some("1"))]);
    client.create(key("a")).await;
    let created = client.next().await;
    assert_eq!(
        (created.watch_id, created.created, created.canceled),
        (0, true, false)
    );
    assert_eq!(revision(&created), 2);
    client
        .create(WatchCreateRequest {
            watch_id: 1,
            ..key("a")
        })
        .await;
    assert_eq!(client.next().await.watch_id, 1);
    client.create(key("a")).await;
    assert_eq!(
        client.next().await.watch_id,
        2,
        "ids in use are passed over"
    );

    client
        .create(WatchCreateRequest {
            watch_id: 1,
            ..key("a")
        })
        .await;
    let refused = client.next().await;
    assert_eq!(
        (refused.watch_id, refused.created, refused.canceled),
        (-1, true, true)
    );
    assert_eq!(refused.cancel_reason, "duplicate");
    client.create(range("b", "a")).await;
    assert_eq!(client.next().await.cancel_reason, "empty");
    client.create(all_from(-1)).await;
    let refused = client.next().await;
    assert_eq!(
        (refused.cancel_reason.as_str(), refused.compact_revision),
        ("compacted", 0)
    );
    client
        .control
        .refuse("not allowed".into())
        .await
        .expect("open");
    let refused = client.next().await;
    assert_eq!(
        (refused.watch_id, refused.cancel_reason.as_str()),
        (-1, "not allowed")
    );

    client.control.cancel(77).await.expect("open");
    client.control.cancel(1).await.expect("open");
    let canceled = client.next().await;
    assert_eq!(
        (canceled.watch_id, canceled.canceled, canceled.created),
        (1, true, false)
    );
    assert!(canceled.cancel_reason.is_empty());
    client
        .create(WatchCreateRequest {
            watch_id: 1,
            ..key("z")
        })
        .await;
    assert_eq!(
        client.next().await.watch_id,
        1,
        "a canceled id may be given again"
    );
    client.create(key("a")).await;
    assert_eq!(client.next().await.watch_id, 3, "but is not picked again");
    assert_eq!(world.hub.stats().watchers, 4);
    drop(client);
    assert_eq!(
        (world.hub.stats().watchers, world.hub.stats().streams),
        (0, 0)
    );
}

#[tokio::test]
async fn events_come_in_order_with_the_revision_they_belong_to() {
    let mut world = World::new(options());
    let mut client = Client::new(&world);
    client.create(range("a", "c")).await;
    assert!(client.next().await.created);
    world.commit(&[vec![("b", Some("1")), ("a", Some("1")), ("c", Some("1"))]]);
    let response = client.next().await;
    assert_eq!(keys(&response), [("b".into(), 2), ("a".into(), 2)]);
    assert_eq!(revision(&response), 2);
    world.write(&[("c", Some("2"))]);
    world.write(&[("a", None), ("b", Some("2"))]);
    let response = client.next().await;
    assert_eq!(keys(&response), [("a".into(), 4), ("b".into(), 5)]);
    assert_eq!(response.events[0].r#type, 1);
    assert_eq!(revision(&response), 5);
    assert_eq!(client.quiet(QUIET).await, None);
}

#[tokio::test]
async fn a_watch_may_begin_in_the_past_and_in_the_future() {
    let mut world = World::new(options());
    for _ in 0..3 {
        world.write(&[("a", Some("x"))]);
    }
    let mut client = Client::new(&world);
    client.create(all_from(3)).await;
    client.create(all_from(7)).await;
    client.create(all_from(0)).await;
    for id in 0..3 {
        let created = client.next().await;
        assert_eq!(
            (created.watch_id, created.created, revision(&created)),
            (id, true, 4)
        );
    }
    let past = client.next().await;
    assert_eq!(
        (past.watch_id, keys(&past)),
        (0, vec![("a".into(), 3), ("a".into(), 4)])
    );
    assert_eq!(
        revision(&past),
        4,
        "catching up carries the current revision"
    );
    for at in 5..=7 {
        world.write(&[("a", Some("x"))]);
        let mut ids = vec![client.next().await, client.next().await];
        if at == 7 {
            ids.push(client.next().await);
        }
        assert!(ids.iter().all(|r| keys(r) == [("a".into(), at)]));
        let mut ids: Vec<_> = ids.iter().map(|r| r.watch_id).collect();
        ids.sort_unstable();
        assert_eq!(ids, if at == 7 { vec![0, 1, 2] } else { vec![0, 2] });
    }
    assert_eq!(client.quiet(QUIET).await, None);
}

#[tokio::test]
async fn a_watch_below_the_compact_revision_is_created_and_then_canceled() {
    let mut world = World::new(options());
    for _ in 0..8 {
        world.write(&[("a", Some("x"))]);
    }
    world.compact(6);
    let mut client = Client::new(&world);
    client.create(all_from(5)).await;
    let created = client.next().await;
    assert!(created.created && !created.canceled);
    let canceled = client.next().await;
    assert!(canceled.canceled && !canceled.created);
    assert_eq!((canceled.compact_revision, revision(&canceled)), (6, 0));
    assert!(canceled.cancel_reason.is_empty());
    client.create(all_from(6)).await;
    assert!(client.next().await.created);
    assert_eq!(
        keys(&client.next().await).len(),
        4,
        "the compact revision itself is kept"
    );
}

#[tokio::test]
async fn progress_is_answered_only_when_every_watch_is_up_to_date() {
    let mut world = World::new(options());
    world.write(&[("a", Some("1"))]);
    let mut client = Client::new(&world);
    client.control.progress().await.expect("open");
    assert_eq!(client.quiet(QUIET).await, None, "no watch, no answer");
    client.create(key("a")).await;
    assert!(client.next().await.created);
    world.write(&[("b", Some("1")), ("b", Some("2"))]);
    client.control.progress().await.expect("open");
    client.control.progress().await.expect("open");
    for _ in 0..2 {
        let progress = client.next().await;
        assert_eq!((progress.watch_id, revision(&progress)), (-1, 4));
        assert!(progress.events.is_empty());
    }
    world.write(&[("a", Some("2"))]);
    client.control.progress().await.expect("open");
    assert_eq!(
        keys(&client.next().await),
        [("a".into(), 5)],
        "events first"
    );
    assert_eq!(revision(&client.next().await), 5);

    client
        .create(WatchCreateRequest {
            start_revision: 100,
            ..key("a")
        })
        .await;
    assert!(client.next().await.created);
    client.control.progress().await.expect("open");
    assert_eq!(
        client.quiet(QUIET).await,
        None,
        "one watch begins in the future"
    );
}

#[tokio::test]
async fn idle_watches_are_told_of_progress_and_busy_ones_skip_a_turn() {
    let mut world = World::new({
        let mut options = options();
        options.progress_interval = Duration::from_millis(1);
        options
    });
    world.write(&[("a", Some("1"))]);
    let mut client = Client::new(&world);
    client
        .create(WatchCreateRequest {
            progress_notify: true,
            ..key("a")
        })
        .await;
    client.create(key("a")).await;
    let future = WatchCreateRequest {
        start_revision: 50,
        ..key("a")
    };
    client
        .create(WatchCreateRequest {
            progress_notify: true,
            ..future
        })
        .await;
    for _ in 0..3 {
        assert!(client.next().await.created);
    }
    let begin = std::time::Instant::now();
    for _ in 0..3 {
        let progress = client.next().await;
        assert_eq!((progress.watch_id, revision(&progress)), (0, 2));
        assert!(progress.events.is_empty());
    }
    assert!(
        begin.elapsed() >= Duration::from_millis(200),
        "1 ms is raised to 100 ms"
    );
}

#[tokio::test]
async fn filters_leave_out_and_prev_kv_adds() {
    let mut world = World::new(options());
    world.write(&[("a", Some("1"))]);
    let mut client = Client::new(&world);
    let noput = vec![FilterType::Noput as i32, 99];
    client
        .create(WatchCreateRequest {
            filters: noput,
            ..key("a")
        })
        .await;
    client
        .create(WatchCreateRequest {
            prev_kv: true,
            ..key("a")
        })
        .await;
    let both = vec![FilterType::Noput as i32, FilterType::Nodelete as i32];
    client
        .create(WatchCreateRequest {
            filters: both,
            ..key("a")
        })
        .await;
    for _ in 0..3 {
        assert!(client.next().await.created);
    }
    world.write(&[("a", Some("2"))]);
    let put = client.next().await;
    assert_eq!((put.watch_id, put.events.len()), (1, 1));
    let prev = put.events[0].prev_kv.as_ref().expect("the record before");
    assert_eq!((prev.value.as_ref(), prev.mod_revision), (&b"1"[..], 2));
    world.write(&[("a", None)]);
    let mut deletes = [client.next().await, client.next().await];
    deletes.sort_by_key(|response| response.watch_id);
    assert_eq!([deletes[0].watch_id, deletes[1].watch_id], [0, 1]);
    assert!(deletes[0].events[0].prev_kv.is_none());
    assert!(deletes[1].events[0].prev_kv.is_some());
    assert_eq!(client.quiet(QUIET).await, None);
}

#[tokio::test]
async fn a_record_before_that_nobody_wanted_is_found_in_history() {
    let mut world = World::new(options());
    let mut client = Client::new(&world);
    client.create(key("a")).await;
    assert!(client.next().await.created);
    world.write(&[("a", Some("1")), ("a", Some("2")), ("a", None)]);
    assert_eq!(client.next().await.events.len(), 3);
    client
        .create(WatchCreateRequest {
            prev_kv: true,
            ..all_from(2)
        })
        .await;
    assert!(client.next().await.created);
    let response = client.next().await;
    let prev: Vec<_> = response.events.iter().map(|e| e.prev_kv.as_ref()).collect();
    let values: Vec<_> = prev
        .iter()
        .map(|kv| kv.map(|kv| kv.value.clone()))
        .collect();
    assert_eq!(values, [None, Some("1".into()), Some("2".into())]);
}

#[tokio::test]
async fn half_close_does_not_end_the_events_and_close_does() {
    let mut world = World::new(options());
    let Client { control, stream } = Client::new(&world);
    control.create(key("a")).await.expect("open");
    drop(control);
    let (control, _) = world.hub.open_stream();
    let mut client = Client { control, stream };
    assert!(client.next().await.created);
    world.write(&[("a", Some("1"))]);
    assert_eq!(client.next().await.events.len(), 1);
    world.hub.close();
    assert_eq!(client.stream.next().await, None);
    assert!(
        client.control.create(key("a")).await.is_err(),
        "its stream is dropped"
    );
    let (_, mut late) = world.hub.open_stream();
    assert_eq!(late.next().await, None);
}

#[tokio::test]
async fn a_slow_stream_falls_out_of_the_ring_and_misses_nothing() {
    let mut small = options();
    small.ring_bytes_max = 2000;
    let mut world = World::new(small);
    let mut client = Client::new(&world);
    client
        .create(WatchCreateRequest {
            prev_kv: true,
            ..range("a", "z")
        })
        .await;
    client.create(key("k5")).await;
    for _ in 0..2 {
        assert!(client.next().await.created);
    }
    for n in 0..3000 {
        let key = format!("k{}", n % 10);
        world.write(&[(&key, Some("value"))]);
    }
    let mut seen = [Vec::new(), Vec::new()];
    while seen[0].len() < 3000 || seen[1].len() < 300 {
        let response = client.next().await;
        seen[response.watch_id as usize].extend(keys(&response).into_iter().map(|k| k.1));
    }
    assert_eq!(seen[0], (2..3002).collect::<Vec<_>>());
    assert!(seen[1].windows(2).all(|pair| pair[1] == pair[0] + 10));
    client.control.progress().await.expect("open");
    assert_eq!(revision(&client.next().await), 3001);
    assert_eq!(world.hub.stats().slow_watchers, 0);
    assert_eq!(world.hub.stats().pending_events, 0);
    assert_eq!(world.hub.stats().events_total, 3300);
}

#[tokio::test]
async fn after_a_snapshot_missed_events_come_from_the_new_store() {
    let mut world = World::new(options());
    let mut client = Client::new(&world);
    client.create(range("a", "z")).await;
    assert!(client.next().await.created);
    world.write(&[("a", Some("1"))]);
    assert_eq!(client.next().await.events.len(), 1);
    let mut ahead = World::new(options());
    ahead.write(&[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))]);
    world.hub.reset(ahead.store.clone());
    assert_eq!(
        keys(&client.next().await),
        [("b".into(), 3), ("c".into(), 4)]
    );
    client.control.progress().await.expect("open");
    assert_eq!(revision(&client.next().await), 4);
    // The old hub now goes on with the new store's commits.
    std::mem::swap(&mut ahead.hub, &mut world.hub);
    ahead.write(&[("d", Some("1"))]);
    assert_eq!(keys(&client.next().await), [("d".into(), 5)]);

    let mut further = World::new(options());
    for _ in 0..20 {
        further.write(&[("a", Some("1"))]);
    }
    further.compact(15);
    ahead.hub.reset(further.store.clone());
    let canceled = client.next().await;
    assert_eq!((canceled.canceled, canceled.compact_revision), (true, 15));
}
