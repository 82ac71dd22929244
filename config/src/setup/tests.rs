use std::path::Path;

use super::*;
use crate::config::Environment;

/// The SQL that users pipe into their database. What it does there was seen on MariaDB 10.11: accepted
/// twice, each account can log in, the monitor reads the status and writes the pin and no more.
#[test]
fn creates_accounts_tables_and_grants() {
    let sql = setup_sql(&config("icinga", "ido_proxy"), "10.0.0.%");
    assert_eq!(
        statements(&sql),
        [
            "SET NAMES utf8mb4;",
            "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES,NO_ENGINE_SUBSTITUTION';",
            "CREATE USER IF NOT EXISTS `ido_proxy`@`10.0.0.%` IDENTIFIED VIA mysql_native_password \
             USING '*38EBEB377DFE03344E27419D8F0ED07E2181061F';",
            "CREATE USER IF NOT EXISTS `icinga`@`10.0.0.%` IDENTIFIED VIA mysql_native_password \
             USING '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19';",
            "CREATE DATABASE IF NOT EXISTS `ido_proxy`;",
            "CREATE TABLE IF NOT EXISTS `ido_proxy`.`pin` (",
            "CREATE TABLE IF NOT EXISTS `ido_proxy`.`proxy` (",
            "CREATE TABLE IF NOT EXISTS `ido_proxy`.`fence` (",
            "ALTER TABLE `ido_proxy`.`pin` ADD COLUMN IF NOT EXISTS `drained` VARCHAR(2000) NOT NULL \
             DEFAULT '' COMMENT 'addresses of nodes that are drained';",
            "ALTER TABLE `ido_proxy`.`fence` ADD COLUMN IF NOT EXISTS `reply` VARCHAR(64) NULL INVISIBLE \
             COMMENT 'counts of the reply to it, where that may be lost';",
            "CREATE OR REPLACE PROCEDURE `ido_proxy`.`evict`(IN `member` VARCHAR(36), IN `period` DECIMAL(6,3))",
            "GRANT SELECT, INSERT, UPDATE ON `ido_proxy`.`pin` TO `ido_proxy`@`10.0.0.%`;",
            "GRANT SELECT, INSERT, UPDATE ON `ido_proxy`.`proxy` TO `ido_proxy`@`10.0.0.%`;",
            "GRANT SELECT, INSERT, UPDATE ON `ido_proxy`.`fence` TO `ido_proxy`@`10.0.0.%`;",
            "GRANT EXECUTE ON PROCEDURE `ido_proxy`.`evict` TO `ido_proxy`@`10.0.0.%`;",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON `ido_proxy`.`fence` TO `icinga`@`10.0.0.%`;",
        ]
    );
}

/// MariaDB's documentation, page PASSWORD, hashes `notagoodpwd`; the other is the known hash of
/// `password`.
#[test]
fn hashes_as_the_server_does() {
    for (password, hash) in [
        ("notagoodpwd", "*3A70EE9FC6594F88CE9E959CD51C5A1C002DC937"),
        ("password", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"),
    ] {
        assert_eq!(native_password_hash(&SecretString::from(password)), hash);
    }
}

/// The SQL goes through pipes, tickets and shell histories.
#[test]
fn has_no_password_in_it() {
    let sql = setup_sql(&config("icinga", "ido_proxy"), "%");
    assert!(!sql.contains("m0nitor"));
    assert!(!sql.contains("USING 'password'"));
}

/// A name must never become SQL.
#[test]
fn names_stay_names() {
    let config = config(r"o'b`r\i--en;\\", "ctl");
    let sql = setup_sql(&config, "%`; DROP DATABASE x; -- \n\\");
    assert!(sql.contains(r"EXISTS `o'b``r\i--en;\`@`%``; DROP DATABASE x; -- "), "{sql}");
    let comments = sql.lines().filter(|line| line.starts_with("-- GRANT"));
    assert_eq!(comments.count(), 1, "{sql}");
    assert!(sql.contains("DROP DATABASE x; --  \\`;\nCREATE USER"), "{sql}");
}

fn config(user: &str, schema: &str) -> Config {
    let text = format!(
        "[listen]\naddresses = [\"/s\"]\n[discovery]\nnodes = [\"192.0.2.1:3306\"]\n\
         [monitor]\npassword = \"m0nitor\"\n[control]\nschema = \"{schema}\"\n\
         [[users]]\nname = \"{}\"\npassword = \"password\"\n",
        user.replace(r"\\", r"\").replace('\\', r"\\")
    );
    Config::parse(&text, "setup.toml", Path::new(""), &Environment::default()).unwrap()
}

/// First lines of the statements.
fn statements(sql: &str) -> Vec<&str> {
    let begins = |line: &&str| line.starts_with(|c: char| c.is_ascii_uppercase());
    sql.lines().filter(begins).collect()
}
