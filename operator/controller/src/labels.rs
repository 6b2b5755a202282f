//! The labels by which the objects of clusters are found.

pub use mainstay_operator_act::labels::{
    INSTANCE, MANAGED_BY, METRICS_PORT, NAME, OPERATOR, PRODUCT, ROLE,
};

/// All that this operator has made for clusters; jobs of backups have another name.
pub fn selector() -> String {
    format!("{MANAGED_BY}={OPERATOR},{NAME}={PRODUCT}")
}
