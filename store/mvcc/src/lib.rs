pub fn x() -> String { let d = rocksdb::DB::open_default("/tmp/rdbx"); format!("{}", d.is_ok()) }
