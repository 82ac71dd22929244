// What Go programs do with a database, through database/sql and go-sql-driver/mysql.
//
//	client tcp|socket ADDRESS DATABASE INFILE
//
// Prints a transcript that is the same whenever the server's answers are.
package main

import (
	"context"
	"crypto/md5"
	"database/sql"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
)

var network, address, database, infile string

func main() {
	network, address, database, infile = os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	if network == "socket" {
		network = "unix"
	}
	mysql.SetLogger(quiet{})
	mysql.RegisterLocalFile(infile)
	mysql.RegisterReaderHandler("pieces", func() io.Reader {
		return strings.NewReader(strings.Repeat("0\tpiece\t1\n", 100000))
	})

	conn := open("icinga", "icinga", "")
	prepared(conn)
	failures(conn)
	results(conn)
	loads(conn)
	transactions(conn)
	large(conn)
	text()
	charsets()
	ends(conn)
	fmt.Println("done")
}

// The driver logs what it also returns.
type quiet struct{}

func (quiet) Print(...interface{}) {}

func open(user, password, more string) *sql.Conn {
	dsn := fmt.Sprintf("%s:%s@%s(%s)/%s?multiStatements=true&maxAllowedPacket=67108864&%s",
		user, password, network, address, database, more)
	pool, err := sql.Open("mysql", dsn)
	must(err)
	conn, err := pool.Conn(context.Background())
	if err != nil {
		fmt.Println("  error:", err)
		return nil
	}
	return conn
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "unexpected:", err)
		os.Exit(1)
	}
}

func fails(err error) {
	if err == nil {
		fmt.Fprintln(os.Stderr, "this should have failed")
		os.Exit(1)
	}
	fmt.Println("  error:", err)
}

func exec(conn *sql.Conn, query string, values ...interface{}) {
	must(tryExec(conn, query, values...))
}

func tryExec(conn *sql.Conn, query string, values ...interface{}) error {
	result, err := conn.ExecContext(context.Background(), query, values...)
	if err != nil {
		return err
	}
	id, _ := result.LastInsertId()
	rows, _ := result.RowsAffected()
	fmt.Println("  ok: rows", rows, "id", id)
	return nil
}

func query(conn *sql.Conn, query string, values ...interface{}) {
	must(tryQuery(conn, query, values...))
}

func tryQuery(conn *sql.Conn, query string, values ...interface{}) error {
	fmt.Println(">", query)
	rows, err := conn.QueryContext(context.Background(), query, values...)
	if err != nil {
		return err
	}
	return show(rows)
}

func show(rows *sql.Rows) error {
	defer rows.Close()
	for {
		types, err := rows.ColumnTypes()
		if err != nil {
			return err
		}
		cells := make([]interface{}, len(types))
		for i, kind := range types {
			nullable, _ := kind.Nullable()
			precision, scale, _ := kind.DecimalSize()
			fmt.Println("  column:", kind.Name(), kind.DatabaseTypeName(), kind.ScanType(), nullable, precision, scale)
			cells[i] = new(interface{})
		}
		for rows.Next() {
			if err := rows.Scan(cells...); err != nil {
				return err
			}
			fmt.Print("  row:")
			for _, cell := range cells {
				value := *cell.(*interface{})
				if bytes, ok := value.([]byte); ok && len(bytes) > 300 {
					value = fmt.Sprintf("%d bytes, %x", len(bytes), md5.Sum(bytes))
				}
				fmt.Printf(" %T(%q)", value, value)
			}
			fmt.Println()
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if !rows.NextResultSet() {
			return rows.Err()
		}
	}
}

func prepared(conn *sql.Conn) {
	fmt.Println("# prepared")
	exec(conn, "DROP TABLE IF EXISTS t")
	exec(conn, `CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(60), amount DECIMAL(12,4), d DOUBLE,
		at DATETIME(6), data LONGBLOB, y YEAR, ti TIME(3), big BIGINT UNSIGNED) CHARACTER SET utf8mb4`)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	insert, err := conn.PrepareContext(context.Background(),
		"INSERT INTO t (name, amount, d, at, data, y, ti, big) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
	must(err)
	for _, name := range []interface{}{"ünïcödé 🐘 \\ ' \" ;", "", nil} {
		result, err := insert.Exec(name, "12345678.9012", 0.1, "2026-02-28 23:59:59.123456", every, 2026,
			"-838:59:59.999", uint64(1<<64-1))
		must(err)
		id, _ := result.LastInsertId()
		fmt.Println("  id", id)
	}
	must(insert.Close())
	query(conn, "SELECT * FROM t WHERE id > ? ORDER BY id", 0)
	query(conn, "SELECT id FROM t WHERE id > ?", 1000)
	exec(conn, "UPDATE t SET name = ?", "x")
	many := make([]*sql.Stmt, 100)
	for i := range many {
		many[i], err = conn.PrepareContext(context.Background(), fmt.Sprintf("SELECT %d + ?", i))
		must(err)
	}
	sum := 0
	for _, statement := range many {
		var value int
		must(statement.QueryRow(1).Scan(&value))
		sum += value
		must(statement.Close())
	}
	fmt.Println("  a hundred statements at a time:", sum)
}

func failures(conn *sql.Conn) {
	fmt.Println("# errors")
	fails(tryQuery(conn, "SELECT * FROM absent"))
	fails(tryQuery(conn, "SELEKT ?", 1))
	fails(tryExec(conn, "INSERT INTO t (id) VALUES (?)", 1))
	fails(tryQuery(conn, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ünser Fehler'"))
	open("icinga", "wrong", "")
	open("absent", "", "")
	fmt.Println("# an error in the middle")
	// Of a failed query of several results this driver waits for more than the server has to say.
	fails(tryExec(conn, "DO 1; INSERT INTO t (name) VALUES ('first'); SELECT * FROM absent; DO 2"))
	query(conn, "SELECT COUNT(*) FROM t WHERE name = 'first'")
}

func results(conn *sql.Conn) {
	fmt.Println("# many results")
	query(conn, "SELECT 1; UPDATE t SET amount = 2; SELECT 'one; two'")
	exec(conn, "DROP PROCEDURE IF EXISTS p")
	exec(conn, `CREATE PROCEDURE p(IN n INT) BEGIN
		SELECT id FROM t WHERE id <= n ORDER BY id; UPDATE t SET amount = n; SELECT 'last' AS name; END`)
	query(conn, "CALL p(?)", 2)
	query(conn, "CALL p(2)")
	rows, err := conn.QueryContext(context.Background(), "SELECT seq, REPEAT('x', 2000) FROM seq_1_to_5000")
	must(err)
	rows.Next()
	must(rows.Close())
	query(conn, "SELECT 'after a result that was left before its end'")
}

func loads(conn *sql.Conn) {
	fmt.Println("# LOAD DATA LOCAL")
	exec(conn, "DROP TABLE IF EXISTS loaded")
	exec(conn, "CREATE TABLE loaded (id INT, name VARCHAR(60), size INT)")
	exec(conn, "LOAD DATA LOCAL INFILE '"+infile+"' INTO TABLE loaded")
	exec(conn, "LOAD DATA LOCAL INFILE 'Reader::pieces' INTO TABLE loaded")
	query(conn, "SELECT COUNT(*), SUM(size), MAX(name) FROM loaded")
	fails(tryExec(conn, "LOAD DATA LOCAL INFILE '/nowhere/unregistered' INTO TABLE loaded"))
	query(conn, "SELECT 'the connection lives'")
}

func transactions(conn *sql.Conn) {
	fmt.Println("# transactions")
	tx, err := conn.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	must(err)
	_, err = tx.Exec("INSERT INTO t (name) VALUES ('rolled back')")
	must(err)
	must(tx.Rollback())
	query(conn, "SELECT COUNT(*) FROM t WHERE name = 'rolled back'")
	tx, err = conn.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	must(err)
	_, err = tx.Exec("DELETE FROM t")
	fails(err)
	must(tx.Rollback())
}

func large(conn *sql.Conn) {
	fmt.Println("# large packets")
	// More than half a packet: the driver sends it as long data, in pieces.
	data := []byte(strings.Repeat("\x00\x01\xfe\xffend.", 5<<20))
	exec(conn, "INSERT INTO t (name, data) VALUES ('40 MB', ?)", data)
	query(conn, "SELECT LENGTH(data), MD5(data), data FROM t WHERE name = ?", "40 MB")
	query(conn, "SELECT LENGTH(data), MD5(data), data FROM t WHERE name = '40 MB'")
	exec(conn, "SET @a = '"+strings.Repeat("a", 40<<20)+"'")
	query(conn, "SELECT LENGTH(@a)")
}

func text() {
	fmt.Println("# text")
	conn := open("icinga", "icinga", "interpolateParams=true&clientFoundRows=true&columnsWithAlias=true&parseTime=true")
	query(conn, "SELECT ?, ?, t.id, at FROM t ORDER BY id", "ü", nil)
	exec(conn, "UPDATE t SET name = ? WHERE id = 1", "same")
	exec(conn, "UPDATE t SET name = ? WHERE id = 1", "same")
	must(conn.PingContext(context.Background()))
}

func charsets() {
	fmt.Println("# character sets")
	query(open("icinga", "icinga", "charset=latin1"), "SELECT @@character_set_client, HEX(?)", "\xe9")
	query(open("icinga", "icinga", "charset=gbk"), "SELECT @@character_set_client, HEX(?)", "\xd5\x5c")
	query(open("icinga", "icinga", "collation=latin2_general_ci"), "SELECT @@collation_connection")
}

func ends(conn *sql.Conn) {
	fmt.Println("# an end from the server's side")
	fails(tryExec(conn, "KILL CONNECTION_ID()"))
	// How a client hears of it depends on what arrives first: the end of stream, or a reset.
	if tryQuery(conn, "SELECT 'nobody hears it'") == nil {
		must(fmt.Errorf("this should have been closed"))
	}
}
