//! Events of clusters and other resources, for `kubectl describe`.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};
use mainstay_operator_plan::step;

/// The longest note that the API server takes, in bytes.
const NOTE_MAX: usize = 1024;

pub async fn publish(recorder: &Recorder, about: &ObjectReference, events: &[step::Event]) {
    for event in events {
        let reason = event.reason.to_string();
        tell(recorder, about, event.warning, &reason, &event.note).await;
    }
}

/// An event that cannot be written is lost; the status says the same.
pub async fn tell(
    recorder: &Recorder,
    about: &ObjectReference,
    warning: bool,
    reason: &str,
    note: &str,
) {
    let told = Event {
        type_: match warning {
            true => EventType::Warning,
            false => EventType::Normal,
        },
        reason: reason.to_owned(),
        note: Some(cut(note)),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&told, about).await {
        tracing::warn!(%error, "an event could not be written");
    }
}

fn cut(note: &str) -> String {
    let mut end = note.len().min(NOTE_MAX);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(NOTE_MAX);
        assert_eq!(cut(&long).len(), NOTE_MAX);
        assert!(cut(&format!("x{long}")).len() < NOTE_MAX + 1);
    }
}
