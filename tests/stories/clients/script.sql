-- What an administrator types at MariaDB's own command-line client.

SELECT '# text';
DROP TABLE IF EXISTS t;
CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(60), amount DECIMAL(12,4),
  at DATETIME(6), data BLOB, j JSON, b BIT(5), e ENUM('a','b'), y YEAR) CHARACTER SET utf8mb4;
INSERT INTO t (name, amount, at, data, j, b, e, y) VALUES
  ('ünïcödé 🐘', 12345678.9012, '2026-02-28 23:59:59.123456', x'00FF5C27', '{"a": 1}', b'10101', 'b', 2026);
INSERT INTO t (name) VALUES (NULL), (''), ('x');
SELECT * FROM t ORDER BY id\G
UPDATE t SET name = 'y' WHERE id > 2;
DELETE FROM t WHERE id = 4;
SELECT 1/0, CAST('12x' AS INT);
SELECT * FROM t WHERE 1 = 0;

SELECT '# errors';
SELECT * FROM absent;
SELEKT 1;
INSERT INTO t (id) VALUES (1);
SELECT nothing FROM t;
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ünser Fehler', MYSQL_ERRNO = 1644;
USE absent;

SELECT '# many results';
DELIMITER //
CREATE OR REPLACE PROCEDURE p(IN n INT, OUT o INT)
BEGIN
  SELECT id FROM t WHERE id <= n ORDER BY id;
  UPDATE t SET amount = n;
  SET o = n * 2;
  SELECT 'last' AS name;
END//
CALL p(3, @o)//
SELECT 1; SELECT 2; UPDATE t SET amount = 7; SELECT 'one; two'//
SELECT 1; SELECT * FROM absent; SELECT 'never'//
DELIMITER ;
SELECT @o;

SELECT '# prepared';
PREPARE s FROM 'SELECT ? + ?, id FROM t WHERE id = ?';
SET @a = 1, @b = 2, @c = 3;
EXECUTE s USING @a, @b, @c;
EXECUTE s USING @a, @b;
DEALLOCATE PREPARE s;

SELECT '# tables of the server';
SHOW TABLES;
DESCRIBE t;
EXPLAIN SELECT * FROM t WHERE id = 1;
CHECK TABLE t;
HELP 'SELECT';

SELECT '# transactions';
START TRANSACTION READ ONLY;
INSERT INTO t (name) VALUES ('never');
COMMIT;
BEGIN;
INSERT INTO t (name) VALUES ('rolled back');
ROLLBACK;
SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SELECT COUNT(*), @@tx_isolation FROM t;
XA START 'x';
INSERT INTO t (name) VALUES ('xa');
XA END 'x';
XA PREPARE 'x';
XA COMMIT 'x';
LOCK TABLES t WRITE;
SELECT COUNT(*) FROM t;
UNLOCK TABLES;

SELECT '# many rows';
SELECT COUNT(*), SUM(LENGTH(name)) FROM (SELECT seq, REPEAT('n', seq MOD 100) AS name FROM seq_1_to_100000) s;
SELECT seq, REPEAT('n', seq MOD 100) FROM seq_1_to_20000;

SELECT '# handlers and old commands';
HANDLER t OPEN;
HANDLER t READ FIRST;
HANDLER t CLOSE;
DO SLEEP(0);
SHOW WARNINGS;
