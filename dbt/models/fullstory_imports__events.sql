{#-
A build reads only jobs whose number of rows differs from the number in this table: new
jobs, jobs that were loaded in part, and jobs of which rows were deleted.
-#}
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='job_id',
    on_schema_change='append_new_columns',
    indexes=[{'columns': ['job_id', 'event_index']}, {'columns': ['name']}, {'columns': ['built_at']}],
    post_hook="{% if is_incremental() and not flags.EMPTY %}
        delete from {{ this }}
        where job_id not in (select distinct job_id from {{ ref('stg_fullstory_imports__imported_events') }})
    {% endif %}"
) }}

with
{%- if is_incremental() %} loaded as (

    select job_id, count(*) as number_of_rows
    from {{ ref('stg_fullstory_imports__imported_events') }}
    group by job_id

),

built as (

    select job_id, count(*) as number_of_rows from {{ this }} group by job_id

),

changed as (

    select loaded.job_id
    from loaded
    left join built on built.job_id = loaded.job_id
    where built.number_of_rows is null or built.number_of_rows <> loaded.number_of_rows

),
{% endif %}
events as (

    select * from {{ ref('stg_fullstory_imports__imported_events') }}
    {%- if is_incremental() %}
    where job_id in (select job_id from changed)
    {%- endif %}

)

select events.*, cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ sql_type('date') }}) as built_at
from events
