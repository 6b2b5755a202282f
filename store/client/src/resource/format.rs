//! How values are written into keys.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Makes values of bytes, and bytes of values. Errors are told in words, without the key.
pub trait Format<T>: Send + Sync + 'static {
    fn decode(bytes: &[u8]) -> Result<T, String>;
    fn encode(value: &T) -> Result<Vec<u8>, String>;
}

/// JSON (RFC 8259).
#[derive(Clone, Copy, Debug)]
pub struct Json;
/// YAML, one document a key.
#[derive(Clone, Copy, Debug)]
pub struct Yaml;
/// The bytes themselves.
#[derive(Clone, Copy, Debug)]
pub struct Raw;

impl<T: Serialize + DeserializeOwned> Format<T> for Json {
    fn decode(bytes: &[u8]) -> Result<T, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    fn encode(value: &T) -> Result<Vec<u8>, String> {
        serde_json::to_vec(value).map_err(|error| error.to_string())
    }
}

impl<T: Serialize + DeserializeOwned> Format<T> for Yaml {
    fn decode(bytes: &[u8]) -> Result<T, String> {
        serde_yaml::from_slice(bytes).map_err(|error| error.to_string())
    }

    fn encode(value: &T) -> Result<Vec<u8>, String> {
        let text = serde_yaml::to_string(value).map_err(|error| error.to_string())?;
        Ok(text.into_bytes())
    }
}

impl<T: From<Bytes> + AsRef<[u8]>> Format<T> for Raw {
    fn decode(bytes: &[u8]) -> Result<T, String> {
        Ok(T::from(Bytes::copy_from_slice(bytes)))
    }

    fn encode(value: &T) -> Result<Vec<u8>, String> {
        Ok(value.as_ref().to_vec())
    }
}
