{#-
A build reads only jobs whose number of rows differs from the number in this table: new
jobs, jobs that were loaded in part, and jobs of which rows were deleted.
-#}
{%- set loaded = ref('stg_fullstory_imports__imported_events') -%}
{{ config(
    enabled=is_loaded('imported_events'),
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='job_id',
    on_schema_change='append_new_columns',
    indexes=[{'columns': ['job_id', 'event_index']}, {'columns': ['name']}, {'columns': ['built_at']}],
    post_hook="{% if is_incremental() and not flags.EMPTY %}
        delete from {{ this }} where job_id not in (
            select job_id from {{ ref('stg_fullstory_imports__imported_events') }} group by job_id
        )
    {% endif %}"
) }}

with events as (

    select * from {{ loaded }}

)

select
    events.*,
    cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ sql_type('date') }}) as built_at
from events
{%- if is_incremental() %}
where job_id in (

    select loaded.job_id
    -- Not `events`, because PostgreSQL would make a table of it.
    from (select job_id, count(*) as number_of_rows from {{ loaded }} group by job_id) as loaded
    left join (select job_id, count(*) as number_of_rows from {{ this }} group by job_id) as built
        on built.job_id = loaded.job_id
    where built.number_of_rows is null or built.number_of_rows <> loaded.number_of_rows

)
{%- endif %}
