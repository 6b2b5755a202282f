//! Rows of the bucket `members`: the id in hexadecimal, and JSON.

use serde::Serialize;

/// A member as etcd writes it; fields in etcd's order, empty ones left out as there.
#[derive(Debug, Clone, Serialize)]
pub struct Member {
    pub id: u64,
    #[serde(rename = "peerURLs")]
    pub peer_urls: Vec<String>,
    #[serde(rename = "isLearner", skip_serializing_if = "std::ops::Not::not")]
    pub is_learner: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(rename = "clientURLs", skip_serializing_if = "Vec::is_empty")]
    pub client_urls: Vec<String>,
}

impl Member {
    /// Key and value of its row.
    pub fn row(&self) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
        let key = format!("{:x}", self.id).into_bytes();
        Ok((key, serde_json::to_vec(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_etcds() {
        let mut member = Member {
            id: 9685874076489904787,
            peer_urls: vec!["http://127.0.0.1:17380".into()],
            is_learner: false,
            name: "default".into(),
            client_urls: vec!["http://127.0.0.1:17379".into()],
        };
        let (key, value) = member.row().unwrap();
        assert_eq!(key, b"866b232794587293");
        let written = r#"{"id":9685874076489904787,"peerURLs":["http://127.0.0.1:17380"],"name":"default","clientURLs":["http://127.0.0.1:17379"]}"#;
        assert_eq!(value, written.as_bytes());
        member.is_learner = true;
        member.name.clear();
        member.client_urls.clear();
        let (_, value) = member.row().unwrap();
        let bare =
            r#"{"id":9685874076489904787,"peerURLs":["http://127.0.0.1:17380"],"isLearner":true}"#;
        assert_eq!(value, bare.as_bytes());
    }
}
