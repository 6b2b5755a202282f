use futures::channel::mpsc;
use kube::{Client, Config};
use mainstay_operator_act::render::Settings;
use serde_json::json;

use super::*;
use crate::lease::Contender;
use crate::metrics::Metrics;

/// No API server is asked.
fn desks(trigger: UnboundedSender<ObjectRef<Guarded>>) -> Desks {
    let config = Config::new("http://127.0.0.1:1".parse().unwrap());
    let client = Client::try_from(config).unwrap();
    let (_, leadership) = Contender::new(client.clone(), "n", "lease", "me".to_owned());
    let context = Context::new(
        client,
        Settings::default(),
        leadership,
        Arc::new(Metrics::default()),
        "me".to_owned(),
    );
    Desks::new(Arc::new(context), trigger)
}

fn set(name: &str, prefix: &str) -> MainstayKeySet {
    serde_json::from_value(json!({
        "apiVersion": "mainstay.dev/v1alpha1", "kind": "MainstayKeySet",
        "metadata": { "name": name, "namespace": "n", "uid": name, "generation": 1 },
        "spec": { "cluster": "db", "prefix": prefix },
    }))
    .unwrap()
}

#[tokio::test]
async fn what_a_set_is_about_to_write_wakes_those_that_it_overlaps_with() {
    let (trigger, mut triggers) = mpsc::unbounded();
    let desks = desks(trigger);
    let (elder, younger, other) = (
        set("elder", "p/"),
        set("younger", "p/q/"),
        set("other", "o/"),
    );
    let all = [&elder, &younger, &other];
    for set in all {
        desks.set_changed(set.clone());
    }
    for set in all {
        desks.desk(&named(set)).news();
    }
    let status = MainstayKeySetStatus {
        managed: vec!["q/x".to_owned()],
        ..MainstayKeySetStatus::default()
    };
    desks.set_written(&elder, &status);
    assert_eq!(triggers.try_recv().ok(), Some(reference(&named(&younger))));
    let claimed = |set: &MainstayKeySet| desks.desk(&named(set)).news().claimed;
    assert!(claimed(&younger) && !claimed(&elder) && !claimed(&other));
    let claims = || {
        let sets = desks.namespace(&younger);
        claims::Claims::of(&younger, sets.iter().map(|set| &**set))
    };
    assert_eq!(claims().of_key(b"p/q/x"), claims::Claim::Older("elder"));
    // The watch brings what was before, and then what is known.
    assert!(desks.set_changed(elder.clone()).is_empty());
    assert_eq!(claims().of_key(b"p/q/x"), claims::Claim::Older("elder"));
    desks.set_written(&elder, &status);
    assert!(triggers.try_recv().is_err(), "it is no news");
    desks.sets_listing();
    let woken = desks.sets_are(&[named(&younger), named(&other)].into());
    assert_eq!(woken, [reference(&named(&younger))]);
    assert_eq!(claims().of_key(b"p/q/x"), claims::Claim::None);
}
