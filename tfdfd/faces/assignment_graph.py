"""The assignment problem as TensorFlow ops: which column each row takes so that the sum of costs is smallest."""

from __future__ import annotations

import tensorflow as tf

_NEVER = 1e18


def assign(costs: tf.Tensor) -> tf.Tensor:
    """Give each row a column of its own so that the sum of the costs is smallest.

    Args:
        costs: float64 [rows, columns], rows 0 or more, columns at least as many, finite.

    Returns:
        int32 [rows]: the column of each row, as `scipy.optimize.linear_sum_assignment` gives it; where several
        assignments cost the same, any of them.
    """
    cheapest = tf.argmin(costs, axis=1, output_type=tf.int32)
    # Rows that each have a favourite of their own, which is nearly always so, need no search.
    distinct = tf.size(tf.unique(cheapest).y)
    return tf.cond(tf.equal(distinct, tf.size(cheapest)), lambda: cheapest, lambda: _search(costs))


def _search(costs: tf.Tensor) -> tf.Tensor:
    """Add the rows one by one, each along the shortest path that frees a column for it.

    Columns are counted from 1; column 0 stands for the row that is being added.

    Source: Jonker and Volgenant, Computing 38 (1987), in the form with potentials of rows and columns.
    """
    num_rows, num_columns = tf.unstack(tf.shape(costs))
    columns = tf.range(num_columns + 1)

    def add_row(
        row: tf.Tensor, of_rows: tf.Tensor, of_columns: tf.Tensor, owner: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        owner = tf.where(columns == 0, row, owner)

        def reach(
            column: tf.Tensor,
            distance: tf.Tensor,
            before: tf.Tensor,
            reached: tf.Tensor,
            of_rows: tf.Tensor,
            of_columns: tf.Tensor,
        ) -> tuple[tf.Tensor, ...]:
            reached = reached | (columns == column)
            holder = owner[column]
            reduced = costs[holder - 1] - of_rows[holder] - of_columns[1:]
            reduced = tf.concat([tf.constant([_NEVER], tf.float64), reduced], 0)
            is_nearer = tf.logical_not(reached) & (reduced < distance)
            distance = tf.where(is_nearer, reduced, distance)
            before = tf.where(is_nearer, column, before)
            open_distance = tf.where(reached, tf.constant(_NEVER, tf.float64), distance)
            nearest = tf.argmin(open_distance, output_type=tf.int32)
            step = open_distance[nearest]
            holders = tf.boolean_mask(owner, reached)
            of_rows = tf.tensor_scatter_nd_add(of_rows, holders[:, None], tf.fill(tf.shape(holders), step))
            of_columns = tf.where(reached, of_columns - step, of_columns)
            return nearest, tf.where(reached, distance, distance - step), before, reached, of_rows, of_columns

        start = (
            tf.constant(0),
            tf.fill([num_columns + 1], tf.constant(_NEVER, tf.float64)),
            tf.zeros_like(columns),
            tf.zeros_like(columns, tf.bool),
            of_rows,
            of_columns,
        )
        last, _, before, _, of_rows, of_columns = tf.while_loop(lambda column, *_: owner[column] != 0, reach, start)

        def pass_on(column: tf.Tensor, owner: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return before[column], tf.where(columns == column, owner[before[column]], owner)

        _, owner = tf.while_loop(lambda column, _: column != 0, pass_on, (last, owner))
        return row + 1, of_rows, of_columns, owner

    *_, owner = tf.while_loop(
        lambda row, *_: row <= num_rows,
        add_row,
        (
            tf.constant(1),
            tf.zeros([num_rows + 1], tf.float64),
            tf.zeros([num_columns + 1], tf.float64),
            tf.zeros_like(columns),
        ),
    )
    taken = tf.where(owner[1:] > 0)[:, 0]
    rows = tf.gather(owner[1:], taken) - 1
    return tf.scatter_nd(rows[:, None], tf.cast(taken, tf.int32), [num_rows])
