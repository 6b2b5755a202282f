//! `--distributed-tracing-*`, read only if `--enable-distributed-tracing` is set (etcd).

use super::Refusal;
use super::values::Values;
use crate::settings::Tracing;

/// `--distributed-tracing-sampling-rate` for every span.
const PER_MILLION: i64 = 1_000_000;

pub fn read(values: &Values) -> Result<Option<Tracing>, Refusal> {
    if !values.boolean("enable-distributed-tracing") {
        return Ok(None);
    }
    let rate = values.integer("distributed-tracing-sampling-rate");
    let wrong = |reason: String| {
        Refusal::new(format!(
            "distributed tracing configuration is not valid: {reason} \
             (--distributed-tracing-sampling-rate={rate})"
        ))
    };
    if rate < 0 {
        return Err(wrong("tracing sampling rate must be positive".to_owned()));
    }
    if rate > PER_MILLION {
        return Err(wrong(format!(
            "tracing sampling rate must be at most {PER_MILLION}"
        )));
    }
    let instance_id = values.text("distributed-tracing-instance-id");
    Ok(Some(Tracing {
        address: values.text("distributed-tracing-address").to_owned(),
        service_name: values.text("distributed-tracing-service-name").to_owned(),
        instance_id: (!instance_id.is_empty()).then(|| instance_id.to_owned()),
        // Both are small enough to be exact.
        sampling_rate: rate as f64 / PER_MILLION as f64,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;

    fn read(flags: &[&str]) -> Result<Option<super::Tracing>, String> {
        Ok(settings(flags, &[])?.tracing)
    }

    const ON: &str = "--enable-distributed-tracing";

    #[test]
    fn defaults_are_etcds() {
        assert_eq!(read(&[]), Ok(None));
        let on = read(&[ON]).unwrap().unwrap();
        assert_eq!(on.address, "localhost:4317");
        assert_eq!(on.service_name, "etcd");
        assert_eq!(on.instance_id, None);
        assert_eq!(on.sampling_rate, 0.0);
    }

    #[test]
    fn the_rate_is_of_a_million() {
        let rate = |rate: &str| read(&[ON, &format!("--distributed-tracing-sampling-rate={rate}")]);
        assert_eq!(rate("1000000").unwrap().unwrap().sampling_rate, 1.0);
        assert_eq!(rate("250000").unwrap().unwrap().sampling_rate, 0.25);
        for odd in ["-1", "1000001"] {
            let refusal = rate(odd).unwrap_err();
            assert!(
                refusal.contains("tracing sampling rate must be"),
                "{refusal}"
            );
        }
        // Nobody looks at it while there are no traces.
        let off = read(&["--distributed-tracing-sampling-rate=-1"]);
        assert_eq!(off, Ok(None));
    }
}
