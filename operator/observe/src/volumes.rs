//! Claims and their sizes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use mainstay_operator_api::quantity;
use mainstay_operator_plan::observed::Volume;

pub fn read(claims: &BTreeMap<u32, PersistentVolumeClaim>) -> BTreeMap<u32, Volume> {
    claims
        .iter()
        .map(|(ordinal, claim)| (*ordinal, view(claim)))
        .collect()
}

fn view(claim: &PersistentVolumeClaim) -> Volume {
    let status = claim.status.clone().unwrap_or_default();
    let requests = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let storage = |amounts: Option<&BTreeMap<String, Quantity>>| {
        amounts.and_then(|amounts| bytes(amounts.get("storage")?))
    };
    Volume {
        uid: claim.uid().unwrap_or_default(),
        bound: status.phase.as_deref() == Some("Bound"),
        lost: status.phase.as_deref() == Some("Lost"),
        request: storage(requests).unwrap_or(0),
        capacity: storage(status.capacity.as_ref()).unwrap_or(0),
        deleting: claim.metadata.deletion_timestamp.is_some(),
    }
}

/// Kubernetes may write an amount in another way than it was given; fractions are rounded up.
pub fn bytes(amount: &Quantity) -> Option<u64> {
    let text = amount.0.trim();
    if let Some(bytes) = quantity::bytes(text) {
        return Some(bytes);
    }
    let (number, suffix) =
        text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len()));
    let number: f64 = number.parse().ok()?;
    let unit = quantity::bytes(&format!("1{suffix}"))?;
    let bytes = (number * unit as f64).ceil();
    (bytes.is_finite() && bytes >= 0.0 && bytes < 2_f64.powi(63)).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        let read = |text: &str| bytes(&Quantity(text.to_owned()));
        assert_eq!(read("8Gi"), Some(8 << 30));
        assert_eq!(read("1.5Gi"), Some(3 << 29));
        assert_eq!(read("8589934592"), Some(8 << 30));
        assert_eq!(read("x"), None);
    }
}
