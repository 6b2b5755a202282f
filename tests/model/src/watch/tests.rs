//! Each mutation of a good watch breaks one promise, and that one is named.

use super::*;
use crate::samples;

/// The promises that watcher `index` of the good history breaks after `mutate`.
fn broken(index: usize, mutate: impl FnOnce(&mut Watcher)) -> Vec<Rule> {
    let mut history = samples::good();
    let timeline = Timeline::build(&history.members).unwrap();
    assert_eq!(check(&history, &timeline), []);
    mutate(&mut history.watchers[index]);
    samples::rules(&check(&history, &timeline))
}

/// Index of the reply with events of this revision.
fn at(watcher: &Watcher, revision: i64) -> usize {
    let found = |reply: &WatchReply| {
        reply
            .events
            .first()
            .is_some_and(|event| event.revision() == revision)
    };
    watcher.replies.iter().position(found).unwrap()
}

#[test]
fn filter_refuses_an_event_out_of_range() {
    assert_eq!(
        broken(2, |watcher| watcher.range_end = "b".into()),
        [Rule::WatchFilter]
    );
}

#[test]
fn filter_refuses_an_event_of_a_filtered_kind() {
    assert_eq!(
        broken(0, |watcher| watcher.no_delete = true),
        [Rule::WatchFilter]
    );
}

#[test]
fn ordered_refuses_a_step_back() {
    let found = broken(0, |watcher| {
        let index = at(watcher, 4);
        watcher.replies.swap(index, index + 1);
    });
    assert_eq!(found, [Rule::WatchOrdered]);
}

#[test]
fn unique_refuses_a_repetition() {
    let found = broken(0, |watcher| {
        let index = at(watcher, 4);
        let again = watcher.replies[index].events[0].clone();
        watcher.replies[index].events.push(again);
    });
    assert_eq!(found, [Rule::WatchUnique]);
}

#[test]
fn atomic_refuses_a_split_revision() {
    let found = broken(0, |watcher| {
        let index = at(watcher, 5);
        let mut second = watcher.replies[index].clone();
        second.events.remove(0);
        watcher.replies[index].events.truncate(1);
        watcher.replies.insert(index + 1, second);
    });
    assert_eq!(found, [Rule::WatchAtomic]);
}

#[test]
fn bookmarkable_refuses_events_up_to_a_progress() {
    let found = broken(0, |watcher| {
        let index = at(watcher, 5);
        let mut progress = watcher.replies.last().unwrap().clone();
        progress.revision = 5;
        watcher.replies.insert(index, progress);
    });
    assert_eq!(found, [Rule::WatchBookmarkable]);
}

#[test]
fn resumable_refuses_a_late_beginning() {
    let found = broken(0, |watcher| {
        let index = at(watcher, 2);
        watcher.replies.remove(index);
    });
    assert_eq!(found, [Rule::WatchResumable]);
}

#[test]
fn resumable_refuses_events_below_the_start() {
    assert_eq!(
        broken(1, |watcher| watcher.start_revision = 5),
        [Rule::WatchResumable]
    );
}

#[test]
fn resumable_takes_the_created_response_as_start() {
    assert_eq!(
        broken(3, |watcher| watcher.replies[0].revision = 1),
        [Rule::WatchResumable]
    );
}

#[test]
fn reliable_refuses_a_gap() {
    let found = broken(0, |watcher| {
        let index = at(watcher, 6);
        watcher.replies.remove(index);
    });
    assert_eq!(found, [Rule::WatchReliable]);
}

#[test]
fn reliable_refuses_a_progress_that_hides_events() {
    let found = broken(0, |watcher| {
        watcher.replies.retain(|reply| reply.events.is_empty())
    });
    assert_eq!(found, [Rule::WatchReliable]);
}

#[test]
fn reliable_refuses_a_changed_value() {
    let found = broken(1, |watcher| {
        let index = at(watcher, 4);
        watcher.replies[index].events[0].kv.value = "other".into();
    });
    assert_eq!(found, [Rule::WatchReliable]);
}

#[test]
fn prev_kv_refuses_a_wrong_value() {
    let found = broken(0, |watcher| {
        let index = at(watcher, 4);
        watcher.replies[index].events[0]
            .prev_kv
            .as_mut()
            .unwrap()
            .value = "x".into();
    });
    assert_eq!(found, [Rule::WatchPrevKv]);
}

#[test]
fn prev_kv_may_be_missing_only_if_it_may_be_compacted() {
    let drop_at = |revision: i64| {
        broken(0, move |watcher| {
            let index = at(watcher, revision);
            watcher.replies[index].events[0].prev_kv = None;
        })
    };
    assert_eq!(
        drop_at(4),
        [],
        "revision 4 was compacted before the watch told of it"
    );
    assert_eq!(drop_at(6), [Rule::WatchPrevKv]);
}

#[test]
fn prev_kv_refuses_what_was_not_asked_for() {
    assert_eq!(
        broken(0, |watcher| watcher.prev_kv = false),
        [Rule::WatchPrevKv]
    );
}

#[test]
fn is_create_refuses_an_update_that_looks_like_a_creation() {
    let found = broken(0, |watcher| {
        let index = at(watcher, 4);
        watcher.replies[index].events[0].kv.create_revision = 4;
    });
    assert!(found.contains(&Rule::WatchIsCreate), "{found:?}");
}
